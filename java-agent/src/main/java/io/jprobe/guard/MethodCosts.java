// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
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

  /** The values of the map. If java.util is traced, each step of a map's iterator fires probes. */
  private MethodCost[] each = new MethodCost[0];

  private boolean hasChanged;
  private final Set<MethodCost> throttled = new LinkedHashSet<>();
  private final Set<MethodCost> onTrial = new LinkedHashSet<>();

  /** Methods that no tracer is attached to any more, as of the last update. */
  private final List<MethodCost> detached = new ArrayList<>();

  /** Adds the methods of these classes that a tracer is attached to. */
  void addAttached(Set<TracedClass> changed) {
    for (TracedClass traced : changed) {
      for (TracedMethod method : traced.methods()) {
        if (!method.attached().isEmpty() && !costs.containsKey(method)) {
          costs.put(method, new MethodCost(traced, method));
          hasChanged = true;
        }
      }
    }
  }

  /**
   * Removes the methods that no tracer is attached to any more, as of the last update.
   *
   * @param changed receives the classes with methods that are not throttled any more
   */
  void removeDetached(Set<TracedClass> changed) {
    if (detached.isEmpty()) {
      return;
    }
    for (MethodCost cost : detached) {
      costs.remove(cost.method);
      throttled.remove(cost);
      onTrial.remove(cost);
      if (cost.isThrottled()) {
        cost.method.setThrottled(false);
        changed.add(cost.traced);
      }
    }
    detached.clear();
    // At once, because there may be no further update: the array would keep unloaded classes.
    each = costs.values().toArray(new MethodCost[0]);
  }

  /**
   * Updates all costs, throttled times and trials.
   *
   * @param elapsed time since the last update, in ns
   * @param firing cost of one firing
   * @return the cost since the last update, in ns
   */
  long update(long now, long elapsed, FiringCost firing) {
    double decay = Math.exp(-elapsed / 1e9);
    long spent = 0;
    long traps = 0;
    long directs = 0;
    detached.clear();
    if (hasChanged) {
      each = costs.values().toArray(new MethodCost[0]);
      hasChanged = false;
    }
    // The only loop over all methods. There may be tens of thousands, and this runs five times per
    // second.
    for (MethodCost cost : each) {
      spent += cost.update(decay, firing);
      traps += cost.newTraps();
      directs += cost.newDirects();
      // The semaphores of unloaded classes are not polled any more.
      if (!cost.method.isAttached() || cost.traced.isUnloaded()) {
        detached.add(cost);
      }
    }
    firing.count(decay, traps, directs);
    for (MethodCost cost : throttled) {
      if (cost.isThrottled()) {
        cost.addThrottledTime(elapsed);
      }
    }
    for (Iterator<MethodCost> left = onTrial.iterator(); left.hasNext(); ) {
      if (left.next().hasPassedTrial(now)) {
        left.remove();
      }
    }
    return spent;
  }

  boolean isEmpty() {
    return costs.isEmpty();
  }

  /** Throttles a method, and starts its backoff. */
  void throttle(MethodCost cost, long now) {
    cost.throttle(now);
    onTrial.remove(cost);
    throttled.add(cost);
  }

  /** Lets a throttled method be woven again, on trial. */
  void retry(MethodCost cost, long now) {
    cost.retry(now);
    throttled.remove(cost);
    onTrial.add(cost);
  }

  /** Returns the methods that were woven again and have neither passed nor failed since. */
  List<MethodCost> onTrial() {
    return new ArrayList<>(onTrial);
  }

  /** Returns the methods that are throttled. */
  List<MethodCost> throttled() {
    return new ArrayList<>(throttled);
  }

  /** Returns the methods that are not throttled. */
  List<MethodCost> woven() {
    List<MethodCost> woven = new ArrayList<>();
    for (MethodCost cost : costs.values()) {
      if (!cost.isThrottled()) {
        woven.add(cost);
      }
    }
    return woven;
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
    each = new MethodCost[0];
    throttled.clear();
    onTrial.clear();
    detached.clear();
  }
}
