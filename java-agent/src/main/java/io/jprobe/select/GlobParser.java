// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** Parses names in a selector, which may contain stars. */
final class GlobParser {
  private final Cursor cursor;

  GlobParser(Cursor cursor) {
    this.cursor = cursor;
  }

  boolean isAhead() {
    char c = cursor.peek();
    return Cursor.isNamePart(c) || isStar(c) || c == '.';
  }

  /** Parses "@" and an annotation. Returns null if there is no "@". */
  Glob annotation() throws SelectorException {
    if (!cursor.accept("@")) {
      return null;
    }
    cursor.skipBlanks();
    if (!isAhead()) {
      throw cursor.error("expected an annotation, as in @com.acme.Timed, found " + cursor.found());
    }
    return dotted();
  }

  /** Parses packages, classes and nested classes, separated by dots. */
  Glob dotted() throws SelectorException {
    StringBuilder pattern = new StringBuilder();
    boolean nameStarts = true;
    while (isAhead() && !cursor.isAt("...")) {
      boolean dot = cursor.peek() == '.';
      if (dot && (nameStarts || !nameFollows())) {
        throw cursor.error("a name is missing beside '.'");
      }
      nameStarts = dot;
      append(pattern);
    }
    return new Glob(pattern.toString());
  }

  private boolean nameFollows() {
    char c = cursor.peek(1);
    return Cursor.isNamePart(c) || isStar(c) || c == '.';
  }

  /**
   * Parses a method's name. "new" and "static" stand for the JVM's methods without a name in Java.
   */
  Glob method() throws SelectorException {
    if (cursor.accept("<init>")) {
      return new Glob("<init>");
    }
    if (cursor.accept("<clinit>")) {
      return new Glob("<clinit>");
    }
    StringBuilder pattern = new StringBuilder();
    while (isAhead() && cursor.peek() != '.') {
      append(pattern);
    }
    switch (pattern.toString()) {
      case "new":
        return new Glob("<init>");
      case "static":
        return new Glob("<clinit>");
      default:
        return new Glob(pattern.toString());
    }
  }

  private void append(StringBuilder pattern) throws SelectorException {
    int length = pattern.length();
    char c = isStar(cursor.peek()) ? '*' : cursor.peek();
    if (c == '*' && length > 1 && pattern.substring(length - 2).equals("**")) {
      throw cursor.error(cursor.column() - 2, "more than two stars in a row");
    }
    pattern.append(c);
    cursor.take();
  }

  /** Returns the error for a character that ends the name of a class or an annotation. */
  SelectorException oddCharacter(String whose) {
    return cursor.error(
        cursor.peek() == '/'
            ? "packages are separated by '.', not '/'"
            : "'" + cursor.peek() + "' cannot be in " + whose + " name");
  }

  /** Accepts an alternative to "*", which shells expand. */
  private static boolean isStar(char c) {
    return c == '*' || c == '%';
  }
}
