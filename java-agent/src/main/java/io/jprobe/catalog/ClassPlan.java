// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What is to become of the methods of one class: nothing has changed before {@link #apply}, so that
 * a plan for too many methods can be dropped.
 */
final class ClassPlan {
  final TracedClass traced;

  /** Methods that were never published as they are wanted now. */
  final List<TracedMethod> fresh = new ArrayList<>();

  final List<TracedMethod> revived = new ArrayList<>();
  final List<TracedMethod> retired = new ArrayList<>();

  /** What is selected and cannot be traced. */
  final List<Untraceable> untraceable;

  /** What has or had its probes and has them now, by what is wanted of it. */
  private final Map<TracedMethod, TracedMethod> known = new LinkedHashMap<>();

  private final List<TracedMethod> methods = new ArrayList<>();

  /**
   * @param wanted the selected methods of the class, in class-file order, none of them published
   */
  ClassPlan(TracedClass traced, List<TracedMethod> wanted, List<Untraceable> untraceable) {
    this.traced = traced;
    this.untraceable = untraceable;
    for (TracedMethod each : wanted) {
      TracedMethod like = traced.findLike(each);
      if (like == null) {
        fresh.add(each);
      } else {
        known.put(each, like);
        if (like.isRetired()) {
          revived.add(like);
        }
      }
      methods.add(like == null ? each : like);
    }
    retired.addAll(traced.methods());
    retired.removeAll(methods);
  }

  /** How many methods more have probes than before. */
  int growth() {
    return methods.size() - traced.methods().size();
  }

  /** Carries it out but for publishing what is fresh. */
  void apply() {
    known.forEach((wanted, like) -> like.takeOver(wanted));
    revived.forEach(TracedMethod::revive);
    retired.forEach(TracedMethod::retire);
    traced.setMethods(methods);
  }
}
