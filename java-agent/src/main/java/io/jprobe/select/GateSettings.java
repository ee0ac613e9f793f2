// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.select.Condition.Comparison;
import io.jprobe.select.Condition.Compound;
import io.jprobe.select.Condition.Junction;
import io.jprobe.select.Condition.Relation;
import java.util.List;

/**
 * New settings of a gate: one or more of the parts of {@code duration > 20ms every 100 at most
 * 20/s}, or {@code always}, or {@code as selected}, which restores the selector's settings.
 */
public final class GateSettings {
  /** Value of settings that are not given and remain unchanged. */
  public static final long UNCHANGED = -1;

  /** True to restore the selector's settings; the numbers are unused then. */
  public final boolean asSelected;

  /** Minimum duration in ns. */
  public final long leastDuration;

  public final long every;

  /** Maximum number of firings per second; 0 for no limit. */
  public final long perSecond;

  private GateSettings(boolean asSelected, long leastDuration, long every, long perSecond) {
    this.asSelected = asSelected;
    this.leastDuration = leastDuration;
    this.every = every;
    this.perSecond = perSecond;
  }

  /** Parses settings. */
  public static GateSettings parse(String written) throws SelectorException {
    String text = Cursor.trim(written);
    Cursor cursor = new Cursor(text, "settings ");
    if (text.equals("always")) {
      return new GateSettings(false, 0, 1, 0);
    }
    if (text.equals("as selected")) {
      return new GateSettings(true, UNCHANGED, UNCHANGED, UNCHANGED);
    }
    if (text.isEmpty()) {
      throw cursor.error(
          "expected duration > 20ms, every 100, at most 20/s, always or as selected");
    }
    Clauses clauses = new ClauseParser(cursor, List.of()).settings();
    long leastDuration =
        clauses.condition == null ? UNCHANGED : leastDuration(clauses.condition, cursor);
    return new GateSettings(
        false,
        leastDuration,
        clauses.every == 0 ? UNCHANGED : clauses.every,
        clauses.perSecond == 0 ? UNCHANGED : clauses.perSecond);
  }

  private static long leastDuration(Condition condition, Cursor cursor) throws SelectorException {
    if (condition instanceof Compound && ((Compound) condition).junction == Junction.AND) {
      Compound compound = (Compound) condition;
      return Math.max(leastDuration(compound.left, cursor), leastDuration(compound.right, cursor));
    }
    if (condition instanceof Comparison) {
      Comparison comparison = (Comparison) condition;
      Relation relation = comparison.relation;
      if (isDuration(comparison.left) && comparison.right instanceof Literal) {
        if (relation == Relation.GREATER || relation == Relation.GREATER_OR_EQUAL) {
          return bound(comparison.right, relation == Relation.GREATER);
        }
      } else if (isDuration(comparison.right) && comparison.left instanceof Literal) {
        if (relation == Relation.LESS || relation == Relation.LESS_OR_EQUAL) {
          return bound(comparison.left, relation == Relation.LESS);
        }
      }
    }
    throw cursor.error(
        0,
        "only a minimum duration, every and at most can be set while the program runs;"
            + " for other conditions, select the method again");
  }

  private static boolean isDuration(Operand operand) {
    return operand instanceof Path && ((Path) operand).root.equals("duration");
  }

  private static long bound(Operand literal, boolean exclusive) {
    long bound = (Long) ((Literal) literal).value;
    // No call takes longer than the maximum.
    return exclusive && bound < Long.MAX_VALUE ? bound + 1 : bound;
  }
}
