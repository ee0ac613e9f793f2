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

  /** Methods of the read classes that the selectors match and that cannot be traced. */
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

  /** Returns the result of applying these plans. */
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
