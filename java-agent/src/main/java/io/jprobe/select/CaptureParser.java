// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Parses captures: {@code (id=arg0.id, return)}. */
final class CaptureParser {
  private final Cursor cursor;
  private final PathParser paths;
  private final List<Capture> captures = new ArrayList<>();
  private final Set<String> names = new HashSet<>();

  CaptureParser(Cursor cursor) {
    this.cursor = cursor;
    this.paths = new PathParser(cursor);
  }

  /**
   * Returns true if the list in parentheses at the cursor holds captures, not types: it contains a
   * "=" or a name with which only paths begin.
   */
  static boolean isAhead(Cursor cursor) {
    String text = cursor.text;
    int depth = 0;
    boolean starts = false;
    for (int i = cursor.column(); i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '(' || c == '[') {
        if (starts) {
          // A cast: no type begins with a bracket.
          return true;
        }
        starts = ++depth == 1;
      } else if (c == ')' || c == ']') {
        if (--depth == 0) {
          return false;
        }
      } else if (c == '=') {
        return true;
      } else if (c == ',') {
        starts = true;
      } else if (starts && !Cursor.isBlank(c)) {
        if (PathParser.isRoot(cursor.wordAt(i))) {
          return true;
        }
        starts = false;
      }
    }
    return false;
  }

  /** Parses the list at the cursor. */
  List<Capture> list() throws SelectorException {
    char close = cursor.open();
    do {
      cursor.skipBlanks();
      captures.add(capture());
      cursor.skipBlanks();
    } while (cursor.accept(","));
    if (!cursor.acceptClose(close)) {
      throw cursor.error("expected ',' or '" + close + "', found " + cursor.found());
    }
    return captures;
  }

  private Capture capture() throws SelectorException {
    int column = cursor.column();
    if (!Cursor.isNameStart(cursor.peek()) && !cursor.isAtBracket()) {
      throw cursor.error("expected a capture, as in id=arg0.id, found " + cursor.found());
    }
    String name = acceptName();
    if (name != null) {
      checkName(name, column);
      cursor.skipBlanks();
    }
    Path path = paths.path();
    if (path.root.equals("duration")) {
      throw cursor.error(path.column, "every return and throw event has the duration");
    }
    if (path.root.equals(PathParser.ARGUMENTS) && (name != null || !path.steps.isEmpty())) {
      throw cursor.error(
          path.column, "arguments stands for all of them; write arg0 for one, as in id=arg0.id");
    }
    String usual = path.root.equals(Path.STACK) ? Path.STACK : path.toString();
    String called = name == null ? usual : name;
    if (!names.add(called)) {
      throw cursor.error(column, "there is a capture '" + called + "' already");
    }
    return new Capture(called, path);
  }

  /** Consumes a name and its "=", or nothing. */
  private String acceptName() {
    int column = cursor.column();
    String name = cursor.word();
    cursor.accept(name);
    cursor.skipBlanks();
    if (cursor.accept("=")) {
      return name;
    }
    cursor.moveTo(column);
    return null;
  }

  private void checkName(String name, int column) throws SelectorException {
    // It was a usual name before it was a root.
    if (PathParser.isRoot(name) && !name.equals(Path.STACK)) {
      throw cursor.error(column, "'" + name + "' is reserved; expected another name");
    }
  }
}
