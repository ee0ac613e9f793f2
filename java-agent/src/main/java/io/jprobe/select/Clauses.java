// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** What follows a selector's methods: which of their calls fire. */
final class Clauses {
  static final Clauses NONE = new Clauses(null, 0, 0, "");

  /** Null for none. */
  final Condition condition;

  /** 0 if not said. */
  final long every;

  /** 0 for no limit. */
  final long perSecond;

  /** As written, but for the blanks. */
  final String text;

  Clauses(Condition condition, long every, long perSecond, String text) {
    this.condition = condition;
    this.every = every;
    this.perSecond = perSecond;
    this.text = text;
  }
}
