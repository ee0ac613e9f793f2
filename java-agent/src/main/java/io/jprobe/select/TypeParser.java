// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.ArrayList;
import java.util.List;

/** Parses the types of arguments and of the returned value. */
final class TypeParser {
  private final Cursor cursor;
  private final GlobParser globs;

  TypeParser(Cursor cursor) {
    this.cursor = cursor;
    this.globs = new GlobParser(cursor);
  }

  /** Parses the list in parentheses at the cursor. */
  TypeListPattern list() throws SelectorException {
    List<TypePattern> patterns = new ArrayList<>();
    char close = cursor.open();
    cursor.skipBlanks();
    if (cursor.acceptClose(close)) {
      return new TypeListPattern(patterns);
    }
    do {
      cursor.skipBlanks();
      boolean anyNumber = !cursor.isAt("...") && cursor.accept("..");
      patterns.add(anyNumber ? TypeListPattern.ANY_NUMBER : type());
      cursor.skipBlanks();
    } while (cursor.accept(","));
    if (!cursor.acceptClose(close)) {
      throw unclosed(close);
    }
    return new TypeListPattern(patterns);
  }

  private SelectorException unclosed(char close) {
    if (cursor.peek() == '<') {
      return cursor.error("types are written without their parameters: List, not List<String>");
    }
    String hint =
        cursor.isAtBracket()
            ? "; captures by an argument's name need one, as in (id=order.id())"
            : "";
    return cursor.error("expected ',' or '" + close + "', found " + cursor.found() + hint);
  }

  /** Parses one type with its array brackets. */
  TypePattern type() throws SelectorException {
    if (!globs.isAhead() || cursor.isAt("...")) {
      throw cursor.error("expected a type, as in int, String[] or *, found " + cursor.found());
    }
    Glob element = globs.dotted();
    int dimensions = 0;
    while (cursor.accept("[]")) {
      dimensions++;
    }
    if (cursor.accept("...")) {
      dimensions++;
    }
    return new TypePattern(element, dimensions);
  }
}
