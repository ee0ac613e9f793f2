// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.ArrayList;
import java.util.List;

/** Parses paths: {@code arg0.customer().city}. */
final class PathParser {
  private final Cursor cursor;

  PathParser(Cursor cursor) {
    this.cursor = cursor;
  }

  /** Returns true if a path can begin with this name whatever the names of the arguments are. */
  static boolean isRoot(String name) {
    switch (name) {
      case "this":
      case "return":
      case "exception":
      case "thread":
      case "duration":
        return true;
      default:
        return isNumbered(name);
    }
  }

  private static boolean isNumbered(String name) {
    if (!name.startsWith("arg") || name.length() == 3) {
      return false;
    }
    for (int i = 3; i < name.length(); i++) {
      if (name.charAt(i) < '0' || name.charAt(i) > '9') {
        return false;
      }
    }
    return true;
  }

  Path path() throws SelectorException {
    int column = cursor.column();
    String root = cursor.word();
    if (!Cursor.isNameStart(cursor.peek())) {
      throw cursor.error("expected a path, as in arg0.id, found " + cursor.found());
    }
    cursor.accept(root);
    return new Path(root, column, steps());
  }

  private List<Path.Step> steps() throws SelectorException {
    List<Path.Step> steps = new ArrayList<>();
    while (cursor.accept(".")) {
      int column = cursor.column();
      String name = cursor.word();
      if (!Cursor.isNameStart(cursor.peek())) {
        throw cursor.error("expected a field or a method after '.', found " + cursor.found());
      }
      cursor.accept(name);
      steps.add(new Path.Step(name, acceptCall(), column));
    }
    return steps;
  }

  private boolean acceptCall() throws SelectorException {
    if (!cursor.isAtBracket()) {
      return false;
    }
    char close = cursor.open();
    cursor.skipBlanks();
    if (!cursor.acceptClose(close)) {
      throw cursor.error("expected '" + close + "': only methods without arguments are called");
    }
    return true;
  }
}
