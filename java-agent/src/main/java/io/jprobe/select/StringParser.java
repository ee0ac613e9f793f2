// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** Parses string literals in single or double quotes. */
final class StringParser {
  private final Cursor cursor;

  StringParser(Cursor cursor) {
    this.cursor = cursor;
  }

  /** Parses the literal whose first quote is at the cursor. */
  String string() throws SelectorException {
    int column = cursor.column();
    char quote = cursor.take();
    StringBuilder value = new StringBuilder();
    while (cursor.peek() != quote) {
      if (cursor.atEnd()) {
        throw cursor.error(column, "this string is not closed, " + quote + " is missing");
      }
      value.append(cursor.peek() == '\\' ? escaped() : cursor.take());
    }
    cursor.take();
    return value.toString();
  }

  private char escaped() throws SelectorException {
    int column = cursor.column();
    cursor.take();
    char c = cursor.atEnd() ? Cursor.END : cursor.take();
    switch (c) {
      case '"':
      case '\'':
      case '\\':
        return c;
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'u':
        return unicode(column);
      default:
        throw cursor.error(column, "expected one of \\\" \\' \\\\ \\n \\t \\uXXXX");
    }
  }

  private char unicode(int column) throws SelectorException {
    int code = 0;
    for (int i = 0; i < 4; i++) {
      int digit = Character.digit(cursor.peek(), 16);
      if (digit < 0) {
        throw cursor.error(column, "expected four hexadecimal digits after \\u");
      }
      cursor.take();
      code = code * 16 + digit;
    }
    return (char) code;
  }
}
