// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;

/**
 * A path to a value of a call, as written: {@code arg0.customer().city}. Its types are determined
 * elsewhere, for each method that the selector matches.
 */
public final class Path extends Operand {
  /** One field or method in a path. */
  public static final class Step {
    public final String name;

    /** True if the step has parentheses, so that it names a method. */
    public final boolean isCall;

    /** Column of the name, counted from 0. */
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

  /** Returns the canonical spelling: {@code arg0.customer().city}. */
  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(root);
    for (Step step : steps) {
      text.append('.').append(step.name).append(step.isCall ? "()" : "");
    }
    return text.toString();
  }
}
