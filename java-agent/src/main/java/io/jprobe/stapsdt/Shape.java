// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import java.util.List;
import java.util.StringJoiner;

/**
 * How many values there are, and which of them are integers, floating-point numbers or strings: two
 * bits a value in one number, so that a call is checked by one comparison. The first value has the
 * lowest bits.
 */
final class Shape {
  static final int LONG = 1;
  static final int DOUBLE = 2;
  static final int STRING = 3;

  /** No probe has it: too many values, or one that is of none of the kinds. */
  static final int NONE = -1;

  private static final String[] NAMES = {"", "long", "double", "String"};

  private Shape() {}

  /** The shape of what a probe with these arguments takes. */
  static int of(List<ArgumentType> types) {
    int shape = 0;
    for (int i = 0; i < types.size(); i++) {
      shape |= types.get(i).kind << 2 * i;
    }
    return shape;
  }

  /** The shape of these values. A null is taken for a string. */
  static int of(Object[] values) {
    if (values.length > Provider.MAX_ARGUMENTS) {
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
  static long word(Object value) {
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
  static String text(int shape) {
    StringJoiner text = new StringJoiner(", ", "(", ")");
    for (int rest = shape; rest != 0; rest >>>= 2) {
      text.add(NAMES[rest & 3]);
    }
    return text.toString();
  }

  /** As in "(long, java.util.Date)", by what the values are. */
  static String text(Object[] values) {
    StringJoiner text = new StringJoiner(", ", "(", ")");
    for (Object value : values) {
      int kind = kind(value);
      text.add(kind == 0 ? value.getClass().getName() : NAMES[kind]);
    }
    return text.toString();
  }
}
