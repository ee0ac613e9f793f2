// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Set;

/** Parses literals: numbers, times, strings, true, false and null. */
final class LiteralParser {
  static final Set<String> UNITS = Set.of("ns", "us", "ms", "s", "min");

  private final Cursor cursor;

  LiteralParser(Cursor cursor) {
    this.cursor = cursor;
  }

  /** Returns null if no literal begins here. */
  Literal literal() throws SelectorException {
    int column = cursor.column();
    char c = cursor.peek();
    if (c == '\'' || c == '"') {
      String value = new StringParser(cursor).string();
      return literal(Literal.Kind.STRING, value, column);
    }
    if (isDigit(c) || ((c == '-' || c == '+') && isDigit(cursor.peek(1)))) {
      return number(column);
    }
    if (cursor.acceptWord("true") || cursor.acceptWord("false")) {
      return literal(Literal.Kind.BOOLEAN, c == 't', column);
    }
    return cursor.acceptWord("null") ? literal(Literal.Kind.NULL, null, column) : null;
  }

  private Literal literal(Literal.Kind kind, Object value, int column) {
    return new Literal(kind, value, cursor.text.substring(column, cursor.column()), column);
  }

  /** Parses the number after a keyword. */
  long count(String after) throws SelectorException {
    int column = cursor.column();
    if (!isDigit(cursor.peek())) {
      throw cursor.error("expected a number after '" + after + "', found " + cursor.found());
    }
    String digits = digits();
    if (Cursor.isNamePart(cursor.peek()) || cursor.peek() == '.') {
      throw cursor.error("'" + cursor.peek() + "' cannot be in a whole number");
    }
    return toLong(new BigInteger(digits), column);
  }

  private Literal number(int column) throws SelectorException {
    boolean negative = cursor.peek() == '-';
    if (negative || cursor.peek() == '+') {
      cursor.take();
    }
    if (cursor.isAt("0x") || cursor.isAt("0X")) {
      return hexadecimal(negative, column);
    }
    String digits = digits();
    boolean whole = cursor.peek() != '.';
    if (!whole) {
      cursor.take();
      digits += "." + digits();
    }
    boolean exponent = isExponent();
    if (exponent) {
      digits += cursor.take();
      digits += isDigit(cursor.peek()) ? "" : String.valueOf(cursor.take());
      digits += digits();
    }
    String sign = negative ? "-" : "";
    String suffix = cursor.word();
    if (suffix.isEmpty() && (exponent || !whole)) {
      return literal(Literal.Kind.DECIMAL, Double.valueOf(sign + digits), column);
    }
    if (exponent) {
      throw cursor.error("'" + suffix + "' cannot follow an exponent");
    }
    if (whole && (suffix.isEmpty() || suffix.equalsIgnoreCase("L"))) {
      cursor.accept(suffix);
      return literal(Literal.Kind.INTEGER, toLong(new BigInteger(sign + digits), column), column);
    }
    return duration(sign + digits, suffix, column);
  }

  private Literal duration(String number, String suffix, int column) throws SelectorException {
    BigDecimal nanoseconds = new BigDecimal(number).multiply(BigDecimal.valueOf(unit(suffix)));
    if (nanoseconds.signum() < 0) {
      throw cursor.error(column, "a duration cannot be negative");
    }
    cursor.accept(suffix);
    return literal(Literal.Kind.DURATION, toLong(nanoseconds.toBigInteger(), column), column);
  }

  private Literal hexadecimal(boolean negative, int column) throws SelectorException {
    cursor.take();
    cursor.take();
    StringBuilder digits = new StringBuilder();
    while (Character.digit(cursor.peek(), 16) >= 0 || cursor.peek() == '_') {
      digits.append(cursor.peek() == '_' ? "" : cursor.peek());
      cursor.take();
    }
    if (!cursor.accept("L")) {
      cursor.accept("l");
    }
    if (digits.length() == 0 || Cursor.isNamePart(cursor.peek())) {
      throw cursor.error("expected a hexadecimal digit, found " + cursor.found());
    }
    BigInteger value = new BigInteger(digits.toString(), 16);
    // Sixteen digits give all bits of a long, as in Java.
    boolean allBits = value.bitLength() == Long.SIZE;
    long bits = allBits ? value.longValue() : toLong(value, column);
    return literal(Literal.Kind.INTEGER, negative ? -bits : bits, column);
  }

  private long unit(String name) throws SelectorException {
    switch (name) {
      case "ns":
        return 1;
      case "us":
        return 1_000;
      case "ms":
        return 1_000_000;
      case "s":
        return 1_000_000_000;
      case "min":
        return 60_000_000_000L;
      default:
        throw cursor.error("unknown unit '" + name + "'; expected ns, us, ms, s or min");
    }
  }

  private boolean isExponent() {
    if (cursor.peek() != 'e' && cursor.peek() != 'E') {
      return false;
    }
    boolean signed = cursor.peek(1) == '-' || cursor.peek(1) == '+';
    return isDigit(cursor.peek(signed ? 2 : 1));
  }

  /** Parses one or more digits, which "_" may separate. */
  private String digits() throws SelectorException {
    StringBuilder digits = new StringBuilder();
    do {
      if (!isDigit(cursor.peek())) {
        throw cursor.error("expected a digit, found " + cursor.found());
      }
      while (isDigit(cursor.peek())) {
        digits.append(cursor.take());
      }
    } while (cursor.accept("_"));
    return digits.toString();
  }

  private long toLong(BigInteger value, int column) throws SelectorException {
    if (value.bitLength() >= Long.SIZE) {
      throw cursor.error(column, "the number is too large");
    }
    return value.longValue();
  }

  private static boolean isDigit(char c) {
    return c >= '0' && c <= '9';
  }
}
