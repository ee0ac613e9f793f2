// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The result of a change of the selectors. */
public final class Selection {
  /** A sentence on why nothing was changed; empty if the change was made. */
  public final String refusal;

  /** Number of methods that have got probes. */
  public final int added;

  /** The methods that have lost their probes. */
  public final List<Map.Entry<TracedClass, TracedMethod>> removed;

  /** What each selector matches in the read classes. */
  public final Matches matches;

  /** Read classes whose class files are malformed. */
  public final List<Untraceable> unreadable;

  private Selection(
      String refusal,
      int added,
      List<Map.Entry<TracedClass, TracedMethod>> removed,
      Matches matches,
      List<Untraceable> unreadable) {
    this.refusal = refusal;
    this.added = added;
    this.removed = removed;
    this.matches = matches;
    this.unreadable = unreadable;
  }

  static Selection refused(String reason) {
    return new Selection(reason, 0, List.of(), new Matches(), List.of());
  }

  /** Returns the result of applying these plans. */
  static Selection of(List<ClassPlan> plans, Matches matches) {
    int added = 0;
    List<Map.Entry<TracedClass, TracedMethod>> removed = new ArrayList<>();
    List<Untraceable> unreadable = new ArrayList<>();
    for (ClassPlan plan : plans) {
      added += plan.fresh.size() + plan.revived.size();
      plan.retired.forEach(method -> removed.add(Map.entry(plan.traced, method)));
      plan.untraceable.stream().filter(one -> one.method.isEmpty()).forEach(unreadable::add);
    }
    return new Selection("", added, List.copyOf(removed), matches, List.copyOf(unreadable));
  }
}
