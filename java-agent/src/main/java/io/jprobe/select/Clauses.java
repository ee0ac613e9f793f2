// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** The clauses of a selector, which filter calls of its methods. */
final class Clauses {
  static final Clauses NONE = new Clauses(null, 0, 0, "");

  /** Condition; null for none. */
  final Condition condition;

  /** Sampling interval in calls; 0 if not given. */
  final long every;

  /** Maximum number of firings per second; 0 for no limit. */
  final long perSecond;

  /** Text of the clauses with blanks normalized. */
  final String text;

  Clauses(Condition condition, long every, long perSecond, String text) {
    this.condition = condition;
    this.every = every;
    this.perSecond = perSecond;
    this.text = text;
  }
}
