// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Pending changes to the methods of one class. Nothing changes before {@link #apply}, so a plan
 * with too many methods can be discarded.
 */
final class ClassPlan {
  final TracedClass traced;

  /** Methods that have no equivalent published before. */
  final List<TracedMethod> fresh = new ArrayList<>();

  final List<TracedMethod> revived = new ArrayList<>();

  final List<TracedMethod> retired = new ArrayList<>();

  /** Selected methods that cannot be traced. */
  final List<Untraceable> untraceable;

  /** True if the class file was read for this plan. */
  final boolean isRead;

  /** The equivalent method that was published before, for each such selected method. */
  private final Map<TracedMethod, TracedMethod> known = new LinkedHashMap<>();

  private final List<TracedMethod> methods = new ArrayList<>();

  /**
   * @param selected the selected methods of the class, in class-file order, not published
   */
  ClassPlan(TracedClass traced, List<TracedMethod> selected, List<Untraceable> untraceable) {
    this(traced, selected, untraceable, true);
  }

  private ClassPlan(
      TracedClass traced,
      List<TracedMethod> selected,
      List<Untraceable> untraceable,
      boolean isRead) {
    this.traced = traced;
    this.untraceable = untraceable;
    this.isRead = isRead;
    for (TracedMethod each : selected) {
      TracedMethod equivalent = traced.findEquivalent(each);
      if (equivalent == null) {
        fresh.add(each);
      } else {
        known.put(each, equivalent);
        if (equivalent.isRetired()) {
          revived.add(equivalent);
        }
      }
      methods.add(equivalent == null ? each : equivalent);
    }
    retired.addAll(traced.methods());
    retired.removeAll(methods);
    number(fresh, methods);
  }

  /** Returns a plan that keeps only some methods of a class. */
  static ClassPlan keeping(List<TracedMethod> kept, TracedClass traced) {
    return new ClassPlan(traced, kept, List.of(), false);
  }

  /**
   * Numbers the sets of probes of each method, so that their names differ. A set that was published
   * keeps its number.
   */
  private static void number(List<TracedMethod> fresh, List<TracedMethod> all) {
    if (fresh.isEmpty()) {
      return;
    }
    Map<String, Set<Integer>> taken = new HashMap<>();
    for (TracedMethod method : all) {
      taken.computeIfAbsent(method.toString(), key -> new HashSet<>()).add(method.number());
    }
    for (TracedMethod method : fresh) {
      int number = 1;
      while (!taken.get(method.toString()).add(number)) {
        number++;
      }
      method.setNumber(number);
    }
  }

  /** Returns by how many the number of methods with probes grows. */
  int growth() {
    return methods.size() - traced.methods().size();
  }

  /** Applies the plan, except that {@link #fresh} methods must be published already. */
  void apply() {
    known.forEach((method, equivalent) -> equivalent.adoptMatches(method));
    revived.forEach(TracedMethod::revive);
    retired.forEach(TracedMethod::retire);
    traced.setMethods(methods);
  }
}
