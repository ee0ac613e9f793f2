// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import jdk.internal.misc.Unsafe;

/**
 * Writes UTF-8 to memory, without allocating. A position is an address below {@code end}. A
 * negative one is the negated end of a truncated text, at which nothing more is written.
 */
final class Utf8 {
  private static final Unsafe UNSAFE = ObjectFields.UNSAFE;
  private static final char REPLACEMENT = '\ufffd';

  private Utf8() {}

  /** Writes an ASCII character. */
  static long put(long at, long end, int character) {
    if (at < 0) {
      return at;
    }
    if (at == end) {
      return -at;
    }
    UNSAFE.putByte(at, (byte) character);
    return at + 1;
  }

  /** Writes two ASCII characters. */
  static long put(long at, long end, int first, int second) {
    return put(put(at, end, first), end, second);
  }

  static long text(long at, long end, String text) {
    return text(at, end, text, false);
  }

  /**
   * Writes a string.
   *
   * @param isEscaped true to write a backslash before quotes and backslashes
   */
  static long text(long at, long end, String text, boolean isEscaped) {
    // Such as the name of an enum's constant that was made without a constructor.
    if (text == null) {
      return text(at, end, "null", false);
    }
    byte[] units = units(text);
    boolean isWide = isWide(text);
    return text(at, end, units, isWide, isWide ? units.length >> 1 : units.length, isEscaped);
  }

  /**
   * Writes the units of a string, which the JDK keeps as Latin-1 or as UTF-16. Their array is read
   * here because String's methods call some that can be traced.
   */
  static long text(long at, long end, byte[] units, boolean isWide, int length, boolean isEscaped) {
    long next = at;
    for (int i = 0; i < length && next > 0; i++) {
      char unit = unit(units, i, isWide);
      if (isEscaped && (unit == '"' || unit == '\\')) {
        next = put(next, end, '\\');
      }
      char low = isWide && i + 1 < length ? unit(units, i + 1, true) : 0;
      next = unit(next, end, unit, low);
      i += isHigh(unit) && isLow(low) ? 1 : 0;
    }
    return next;
  }

  private static byte[] units(String text) {
    return (byte[]) UNSAFE.getReference(text, JdkTypes.STRING_UNITS);
  }

  private static boolean isWide(String text) {
    return UNSAFE.getByte(text, JdkTypes.STRING_CODER) != 0;
  }

  /** Returns a unit of a string. They are in the machine's order, little-endian. */
  private static char unit(byte[] units, int i, boolean isWide) {
    return isWide ? (char) (units[2 * i] & 0xff | units[2 * i + 1] << 8) : (char) (units[i] & 0xff);
  }

  /** Returns String.hashCode. */
  static int hash(String text) {
    byte[] units = units(text);
    boolean isWide = isWide(text);
    int length = isWide ? units.length >> 1 : units.length;
    int hash = 0;
    for (int i = 0; i < length; i++) {
      hash = 31 * hash + unit(units, i, isWide);
    }
    return hash;
  }

  /** Compares strings as String.compareTo does. */
  static int compare(String one, String other) {
    byte[] units = units(one);
    byte[] others = units(other);
    boolean isWide = isWide(one);
    boolean isOtherWide = isWide(other);
    int length = isWide ? units.length >> 1 : units.length;
    int otherLength = isOtherWide ? others.length >> 1 : others.length;
    for (int i = 0; i < length && i < otherLength; i++) {
      int difference = unit(units, i, isWide) - unit(others, i, isOtherWide);
      if (difference != 0) {
        return difference;
      }
    }
    return length - otherLength;
  }

  /**
   * Writes one UTF-16 code unit, or a surrogate pair.
   *
   * @param next the unit that follows a high surrogate
   */
  static long unit(long at, long end, char unit, char next) {
    if (unit > 0 && unit < 0x80) {
      return put(at, end, unit);
    }
    if (isHigh(unit) && isLow(next)) {
      int character = 0x10000 + ((unit & 0x3ff) << 10) + (next & 0x3ff);
      return encoded(at, end, character, 4);
    }
    char whole = isHigh(unit) || isLow(unit) ? REPLACEMENT : unit;
    // U+0000 is C0 80: a NUL would end the text.
    return encoded(at, end, whole, whole < 0x800 ? 2 : 3);
  }

  private static long encoded(long at, long end, int character, int size) {
    if (at < 0) {
      return at;
    }
    if (end - at < size) {
      return -at;
    }
    int left = character;
    for (int i = size - 1; i > 0; i--) {
      UNSAFE.putByte(at + i, (byte) (0x80 | left & 0x3f));
      left >>= 6;
    }
    UNSAFE.putByte(at, (byte) (0xf00 >> size | left));
    return at + size;
  }

  static boolean isHigh(char unit) {
    return unit >> 10 == 0x36;
  }

  static boolean isLow(char unit) {
    return unit >> 10 == 0x37;
  }

  static long decimal(long at, long end, long value) {
    // Negative numbers have one more value than positive ones.
    long left = value < 0 ? value : -value;
    long next = value < 0 ? put(at, end, '-') : at;
    long unit = 1;
    for (long rest = left / 10; rest != 0; rest /= 10) {
      unit *= 10;
    }
    for (; unit > 0; unit /= 10) {
      next = put(next, end, '0' - (int) (left / unit % 10));
    }
    return next;
  }

  /**
   * Writes hexadecimal digits.
   *
   * @param digits number of digits; 0 for as many as necessary
   */
  static long hex(long at, long end, long value, int digits) {
    int count = digits > 0 ? digits : 1;
    while (digits == 0 && count < 16 && value >>> 4 * count != 0) {
      count++;
    }
    long next = at;
    for (int i = count - 1; i >= 0; i--) {
      int digit = (int) (value >>> 4 * i) & 0xf;
      next = put(next, end, digit < 10 ? '0' + digit : 'a' - 10 + digit);
    }
    return next;
  }

  /** Moves bytes up by one. Unsafe's method for it calls some that can be traced. */
  static void moveUp(long from, long end) {
    for (long at = end; at > from; at--) {
      UNSAFE.putByte(at, UNSAFE.getByte(at - 1));
    }
  }
}
