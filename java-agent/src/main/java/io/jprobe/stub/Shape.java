// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import io.jprobe.layout.WordsLayout;
import java.util.StringJoiner;

/**
 * How many values there are, and which of them are integers, floating-point numbers or strings: two
 * bits a value in one number, so that a call is checked by one comparison. The first value has the
 * lowest bits.
 */
public final class Shape {
  /** Maximum number of values that tracers can read from one probe. */
  public static final int MAX_VALUES = WordsLayout.MAX - 1;

  public static final int LONG = 1;
  public static final int DOUBLE = 2;
  public static final int STRING = 3;

  /** No probe has it: too many values, or one that is of none of the kinds. */
  public static final int NONE = -1;

  private static final String[] NAMES = {"", "long", "double", "String"};

  private Shape() {}

  /** Returns the shape of a single value of this kind at this index, for combination by OR. */
  public static int at(int index, int kind) {
    return kind << 2 * index;
  }

  /** The shape of these values. A null is taken for a string. */
  public static int of(Object[] values) {
    if (values.length > MAX_VALUES) {
      return NONE;
    }
    int shape = 0;
    for (int i = 0; i < values.length; i++) {
      int kind = kind(values[i]);
      if (kind == 0) {
        return NONE;
      }
      shape |= kind << 2 * i;
    }
    return shape;
  }

  private static int kind(Object value) {
    if (value == null || value instanceof String) {
      return STRING;
    }
    if (value instanceof Double || value instanceof Float) {
      return DOUBLE;
    }
    boolean integer =
        value instanceof Long
            || value instanceof Integer
            || value instanceof Short
            || value instanceof Byte
            || value instanceof Character
            || value instanceof Boolean;
    return integer ? LONG : 0;
  }

  /** The 64 bits of a value that is not a string; 0 for one that is. */
  public static long word(Object value) {
    if (value instanceof Double || value instanceof Float) {
      return Double.doubleToRawLongBits(((Number) value).doubleValue());
    }
    if (value instanceof Number) {
      return ((Number) value).longValue();
    }
    if (value instanceof Character) {
      return (Character) value;
    }
    return Boolean.TRUE.equals(value) ? 1 : 0;
  }

  /** As in "(long, String)". */
  public static String text(int shape) {
    StringJoiner text = new StringJoiner(", ", "(", ")");
    for (int rest = shape; rest != 0; rest >>>= 2) {
      text.add(NAMES[rest & 3]);
    }
    return text.toString();
  }

  /** As in "(long, java.util.Date)", by what the values are. */
  public static String text(Object[] values) {
    StringJoiner text = new StringJoiner(", ", "(", ")");
    for (Object value : values) {
      int kind = kind(value);
      text.add(kind == 0 ? value.getClass().getName() : NAMES[kind]);
    }
    return text.toString();
  }
}
