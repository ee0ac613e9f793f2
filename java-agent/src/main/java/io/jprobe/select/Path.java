// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;

/**
 * The way from what a call has at hand to a value, as written: {@code arg0.customer().city}. Which
 * types it passes is found out elsewhere, for each method that the selector matches.
 */
public final class Path extends Operand {
  /** One step. */
  public static final class Step {
    public final String name;

    /** Whether it was written with parentheses, and so means a method. */
    public final boolean isCall;

    /** Of the name, counted from 0. */
    public final int column;

    Step(String name, boolean isCall, int column) {
      this.name = name;
      this.isCall = isCall;
      this.column = column;
    }
  }

  /** "this", "return", "exception", "thread", "duration", "argN", or the name of an argument. */
  public final String root;

  public final List<Step> steps;

  Path(String root, int column, List<Step> steps) {
    super(column);
    this.root = root;
    this.steps = List.copyOf(steps);
  }

  /** As it would be written without spellings of convenience: {@code arg0.customer().city}. */
  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(root);
    for (Step step : steps) {
      text.append('.').append(step.name).append(step.isCall ? "()" : "");
    }
    return text.toString();
  }
}
