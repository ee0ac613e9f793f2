// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import io.jprobe.layout.WordsLayout;
import java.util.StringJoiner;

/**
 * Encodes the number and kinds of values (integers, floating-point numbers, strings) in one number,
 * so that one comparison checks a call. Each value has two bits, the first one the lowest.
 */
public final class Shape {
  /** Maximum number of values that tracers can read from one probe. */
  public static final int MAX_VALUES = WordsLayout.MAX - 1;

  public static final int LONG = 1;
  public static final int DOUBLE = 2;
  public static final int STRING = 3;

  /** The shape of too many values, or of a value of no supported kind. Equals no probe's shape. */
  public static final int NONE = -1;

  private static final String[] NAMES = {"", "long", "double", "String"};

  private Shape() {}

  /** Returns the shape of a single value of this kind at this index, for combination by OR. */
  public static int at(int index, int kind) {
    return kind << 2 * index;
  }

  /** Returns the shape of these values. Treats null as a string. */
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

  /** Returns the words of the values; 0 for strings. */
  public static long[] words(Object[] values) {
    long[] words = new long[values.length];
    for (int i = 0; i < values.length; i++) {
      words[i] = word(values[i]);
    }
    return words;
  }

  /** Returns the strings among the values; null for other values. */
  public static String[] strings(Object[] values) {
    String[] strings = new String[values.length];
    for (int i = 0; i < values.length; i++) {
      strings[i] = values[i] instanceof String ? (String) values[i] : null;
    }
    return strings;
  }

  /** Returns the 64 bits of a value other than a string; 0 for strings. */
  private static long word(Object value) {
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

  /** Returns a description such as "(long, String)". */
  public static String text(int shape) {
    StringJoiner text = new StringJoiner(", ", "(", ")");
    for (int rest = shape; rest != 0; rest >>>= 2) {
      text.add(NAMES[rest & 3]);
    }
    return text.toString();
  }

  /** Returns a description of the values such as "(long, java.util.Date)". */
  public static String text(Object[] values) {
    StringJoiner text = new StringJoiner(", ", "(", ")");
    for (Object value : values) {
      int kind = kind(value);
      text.add(kind == 0 ? value.getClass().getName() : NAMES[kind]);
    }
    return text.toString();
  }
}
