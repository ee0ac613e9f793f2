// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** A literal in a condition. */
public final class Literal extends Operand {
  /** Kind of a literal. */
  public enum Kind {
    /** {@link #value} is a Long. */
    INTEGER,
    /** {@link #value} is a Double. */
    DECIMAL,
    /** {@link #value} is a String. */
    STRING,
    /** {@link #value} is a Boolean. */
    BOOLEAN,
    /** {@link #value} is a Long, in nanoseconds. */
    DURATION,
    /** {@link #value} is null. */
    NULL
  }

  public final Kind kind;
  public final Object value;
  private final String text;

  /**
   * @param text text of the literal in the selector
   */
  Literal(Kind kind, Object value, String text, int column) {
    super(column);
    this.kind = kind;
    this.value = value;
    this.text = text;
  }

  @Override
  public String toString() {
    return text;
  }
}
