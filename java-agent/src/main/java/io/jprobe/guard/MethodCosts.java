// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The costs of all methods that a tracer is attached to. Without lambdas: see {@link Guard}. */
final class MethodCosts {
  private static final class MostExpensiveFirst implements Comparator<MethodCost> {
    @Override
    public int compare(MethodCost one, MethodCost other) {
      return Long.compare(other.recent(), one.recent());
    }
  }

  private static final class CheapestFirst implements Comparator<MethodCost> {
    @Override
    public int compare(MethodCost one, MethodCost other) {
      return Long.compare(one.costWhenThrottled(), other.costWhenThrottled());
    }
  }

  private final Map<TracedMethod, MethodCost> costs = new LinkedHashMap<>();

  /** Adds the methods of these classes that a tracer is attached to. */
  void addAttached(Set<TracedClass> changed) {
    for (TracedClass traced : changed) {
      for (TracedMethod method : traced.methods()) {
        if (!method.attached().isEmpty() && !costs.containsKey(method)) {
          costs.put(method, new MethodCost(traced, method));
        }
      }
    }
  }

  /**
   * Removes the methods that no tracer is attached to any more, and those of unloaded classes,
   * whose semaphores are not polled any more.
   *
   * @param changed receives the classes with methods that are not throttled any more
   */
  void removeDetached(Set<TracedClass> changed) {
    for (MethodCost cost : new ArrayList<>(costs.values())) {
      if (!cost.method.attached().isEmpty() && !cost.traced.isUnloaded()) {
        continue;
      }
      costs.remove(cost.method);
      if (cost.isThrottled()) {
        cost.method.setThrottled(false);
        changed.add(cost.traced);
      }
    }
  }

  /**
   * Updates all costs, throttled times and trials.
   *
   * @param elapsed time since the last update, in ns
   * @return the cost since the last update, in ns
   */
  long update(long now, long elapsed, long firingNanos, long clockNanos) {
    long spent = 0;
    for (MethodCost cost : costs.values()) {
      spent += cost.update(elapsed, firingNanos, clockNanos);
      if (cost.isThrottled()) {
        cost.addThrottledTime(elapsed);
      }
      cost.endTrialIfPassed(now);
    }
    return spent;
  }

  boolean isEmpty() {
    return costs.isEmpty();
  }

  boolean isAnyOnTrial() {
    for (MethodCost cost : costs.values()) {
      if (cost.isOnTrial()) {
        return true;
      }
    }
    return false;
  }

  /** Returns the methods that are throttled. */
  List<MethodCost> throttled() {
    return select(true);
  }

  /** Returns the methods that are not throttled. */
  List<MethodCost> woven() {
    return select(false);
  }

  private List<MethodCost> select(boolean areThrottled) {
    List<MethodCost> selected = new ArrayList<>();
    for (MethodCost cost : costs.values()) {
      if (cost.isThrottled() == areThrottled) {
        selected.add(cost);
      }
    }
    return selected;
  }

  static void sortMostExpensiveFirst(List<MethodCost> costs) {
    costs.sort(new MostExpensiveFirst());
  }

  static void sortCheapestFirst(List<MethodCost> costs) {
    costs.sort(new CheapestFirst());
  }

  /** Returns the approximate cost of these methods in the last second, in ns. */
  static long recent(List<MethodCost> costs) {
    long recent = 0;
    for (MethodCost cost : costs) {
      recent += cost.recent();
    }
    return recent;
  }

  void clear() {
    costs.clear();
  }
}
