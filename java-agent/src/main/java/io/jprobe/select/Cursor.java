// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/**
 * A position in the text of a selector. Returns the next tokens and errors that point to the
 * position.
 */
final class Cursor {
  /** Returned after the last character; occurs in no selector. */
  static final char END = '\uFFFF';

  final String text;

  /** Start of error messages: kind and origin of the text, such as "selector ". */
  final String what;

  private int column;

  Cursor(String text, String what) {
    this.text = text;
    this.what = what;
  }

  /** Returns the text without surrounding blanks. */
  static String trim(String written) {
    int start = 0;
    int end = written.length();
    while (start < end && isBlank(written.charAt(start))) {
      start++;
    }
    while (start < end && isBlank(written.charAt(end - 1))) {
      end--;
    }
    return written.substring(start, end);
  }

  /** Treats "~" as a blank, for contexts in which blanks separate arguments. */
  static boolean isBlank(char c) {
    return c == '~' || c <= ' ';
  }

  static boolean isNameStart(char c) {
    return Character.isJavaIdentifierStart(c) || Character.isSurrogate(c);
  }

  /** Names of Kotlin and Scala may contain "-". */
  static boolean isNamePart(char c) {
    return c == '-'
        || Character.isSurrogate(c)
        || (Character.isJavaIdentifierPart(c) && !Character.isIdentifierIgnorable(c));
  }

  /** Returns the column of the next character, counted from 0. */
  int column() {
    return column;
  }

  void moveTo(int column) {
    this.column = column;
  }

  boolean atEnd() {
    return column == text.length();
  }

  char peek() {
    return peek(0);
  }

  char peek(int ahead) {
    return column + ahead < text.length() ? text.charAt(column + ahead) : END;
  }

  boolean isAt(String symbol) {
    return text.startsWith(symbol, column);
  }

  boolean isAtBlank() {
    return !atEnd() && isBlank(peek());
  }

  boolean isAtBracket() {
    return peek() == '(' || peek() == '[';
  }

  /** Consumes the next character. */
  char take() {
    return text.charAt(column++);
  }

  void skipBlanks() {
    while (isAtBlank()) {
      column++;
    }
  }

  boolean accept(String symbol) {
    boolean accepted = isAt(symbol);
    if (accepted) {
      column += symbol.length();
    }
    return accepted;
  }

  /** Consumes and returns the name that starts here; "" if none does. */
  String word() {
    return wordAt(column);
  }

  String wordAt(int start) {
    int end = start;
    while (end < text.length() && isNamePart(text.charAt(end))) {
      end++;
    }
    return text.substring(start, end);
  }

  boolean acceptWord(String expected) {
    return word().equals(expected) && accept(expected);
  }

  /** Consumes "(" or "[" and returns the matching closing bracket. */
  char open() {
    return take() == '(' ? ')' : ']';
  }

  boolean acceptClose(char close) {
    boolean accepted = peek() == close;
    if (accepted) {
      column++;
    }
    return accepted;
  }

  /** Returns a description of the next character for error messages. */
  String found() {
    if (atEnd()) {
      return "the end";
    }
    String word = word();
    return "'" + (word.isEmpty() ? String.valueOf(peek()) : word) + "'";
  }

  SelectorException error(String problem) {
    return error(column, problem);
  }

  SelectorException error(int at, String problem) {
    return new SelectorException(what, text, at, problem);
  }
}
