// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedPath.Root;
import io.jprobe.select.Condition.Junction;
import io.jprobe.select.Condition.Relation;
import java.util.ArrayList;
import java.util.List;

/** A condition, split at its "and" operators into parts that are evaluated at different times. */
final class Decisions {
  /** Parts to evaluate when the call begins, in order. */
  final List<TypedCondition> early = new ArrayList<>();

  /** Parts to evaluate when the call ends. */
  final List<TypedCondition> late = new ArrayList<>();

  /** Minimum duration in ns, which the gate checks; 0 for none. */
  long leastDuration;

  /**
   * @param condition condition; null for none
   */
  Decisions(TypedCondition condition) {
    if (condition != null) {
      split(condition);
    }
  }

  private void split(TypedCondition condition) {
    if (condition instanceof TypedCondition.Compound
        && ((TypedCondition.Compound) condition).junction == Junction.AND) {
      split(((TypedCondition.Compound) condition).left);
      split(((TypedCondition.Compound) condition).right);
    } else if (leastOf(condition) >= 0) {
      leastDuration = Math.max(leastDuration, leastOf(condition));
    } else if (condition.isLate()) {
      late.add(condition);
    } else {
      early.add(condition);
    }
  }

  /** Returns the minimum duration in ns if the condition consists of nothing else; otherwise -1. */
  private static long leastOf(TypedCondition condition) {
    if (!(condition instanceof TypedCondition.Comparison)) {
      return -1;
    }
    TypedCondition.Comparison comparison = (TypedCondition.Comparison) condition;
    if (isDuration(comparison.left) && comparison.right.constant != null) {
      long bound = (Long) comparison.right.constant;
      return comparison.relation == Relation.GREATER
          ? above(bound)
          : comparison.relation == Relation.GREATER_OR_EQUAL ? bound : -1;
    }
    if (isDuration(comparison.right) && comparison.left.constant != null) {
      long bound = (Long) comparison.left.constant;
      return comparison.relation == Relation.LESS
          ? above(bound)
          : comparison.relation == Relation.LESS_OR_EQUAL ? bound : -1;
    }
    return -1;
  }

  private static long above(long bound) {
    // No call takes longer than the maximum.
    return bound < Long.MAX_VALUE ? bound + 1 : bound;
  }

  private static boolean isDuration(TypedCondition.Operand operand) {
    return operand.path != null && operand.path.root == Root.DURATION;
  }
}
