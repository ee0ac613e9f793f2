// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** A place in the text of a selector: what comes next, and errors that point at it. */
final class Cursor {
  /** What is next after the last character; no selector has it. */
  static final char END = '\uFFFF';

  final String text;

  /** What is read and where it was written, as the start of an error: "selector ". */
  final String what;

  private int column;

  Cursor(String text, String what) {
    this.text = text;
    this.what = what;
  }

  /** Without the blanks around it. */
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

  /** A "~" is a blank for those who write where blanks separate. */
  static boolean isBlank(char c) {
    return c == '~' || c <= ' ';
  }

  static boolean isNameStart(char c) {
    return Character.isJavaIdentifierStart(c) || Character.isSurrogate(c);
  }

  /** Kotlin and Scala make names with "-". */
  static boolean isNamePart(char c) {
    return c == '-'
        || Character.isSurrogate(c)
        || (Character.isJavaIdentifierPart(c) && !Character.isIdentifierIgnorable(c));
  }

  /** Of the next character, counted from 0. */
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

  /** Takes the next character, whatever it is. */
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

  /** The name that starts here, or an empty one. */
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

  /** Takes "(" or "[" and gives what closes it. */
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

  /** What is next, as errors name it. */
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
