// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What a change of the selectors has done, or why it was not done. */
public final class Selection {
  /** A sentence; empty if it was done. Then nothing else is said. */
  public final String refusal;

  /** How many methods have got their probes by it. */
  public final int added;

  /** What has lost its probes. */
  public final List<Map.Entry<TracedClass, TracedMethod>> removed;

  /** What the selectors mean and that cannot be traced, of the classes that were read. */
  public final List<Untraceable> failed;

  private Selection(
      String refusal,
      int added,
      List<Map.Entry<TracedClass, TracedMethod>> removed,
      List<Untraceable> failed) {
    this.refusal = refusal;
    this.added = added;
    this.removed = removed;
    this.failed = failed;
  }

  static Selection refused(String reason) {
    return new Selection(reason, 0, List.of(), List.of());
  }

  /** What those plans will have done. */
  static Selection of(List<ClassPlan> plans) {
    int added = 0;
    List<Map.Entry<TracedClass, TracedMethod>> removed = new ArrayList<>();
    List<Untraceable> failed = new ArrayList<>();
    for (ClassPlan plan : plans) {
      added += plan.fresh.size() + plan.revived.size();
      plan.retired.forEach(method -> removed.add(Map.entry(plan.traced, method)));
      failed.addAll(plan.untraceable);
    }
    return new Selection("", added, List.copyOf(removed), List.copyOf(failed));
  }
}
