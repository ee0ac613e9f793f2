// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.layout.StacksLayout;
import java.util.ArrayList;
import java.util.List;

/** Parses paths: {@code arg0.customer().city}, {@code ((Order) arg0[0]).id}. */
final class PathParser {
  /** Stands for all arguments, in captures. */
  static final String ARGUMENTS = "arguments";

  private static final int MAX_CASTS = 8;

  private final Cursor cursor;
  private final LiteralParser literals;

  PathParser(Cursor cursor) {
    this.cursor = cursor;
    this.literals = new LiteralParser(cursor);
  }

  /** Returns true if a path can begin with this name whatever the names of the arguments are. */
  static boolean isRoot(String name) {
    switch (name) {
      case "this":
      case "return":
      case "exception":
      case "thread":
      case "duration":
      case ARGUMENTS:
      case Path.STACK:
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

  /**
   * Returns true if a path that begins with a cast is at the cursor: {@code ((Order) arg0)}. In a
   * condition, the same brackets may enclose a part of it.
   */
  static boolean isCastAhead(Cursor cursor) {
    int column = cursor.column();
    boolean isCast = cursor.isAtBracket() && isCast(cursor);
    cursor.moveTo(column);
    return isCast;
  }

  private static boolean isCast(Cursor cursor) {
    cursor.open();
    cursor.skipBlanks();
    if (!cursor.isAtBracket()) {
      return false;
    }
    char close = cursor.open();
    cursor.skipBlanks();
    boolean isNamed = Cursor.isNameStart(cursor.peek());
    acceptTypeName(cursor);
    cursor.skipBlanks();
    if (!isNamed || !cursor.acceptClose(close)) {
      return false;
    }
    cursor.skipBlanks();
    return cursor.isAtBracket()
        || Cursor.isNameStart(cursor.peek()) && !ConditionParser.isOperatorAhead(cursor);
  }

  private static String acceptTypeName(Cursor cursor) {
    int from = cursor.column();
    do {
      cursor.accept(cursor.word());
    } while (cursor.accept("."));
    return cursor.text.substring(from, cursor.column());
  }

  Path path() throws SelectorException {
    return path(0);
  }

  private Path path(int casts) throws SelectorException {
    int column = cursor.column();
    if (cursor.isAtBracket()) {
      return cast(casts);
    }
    String root = cursor.word();
    if (!Cursor.isNameStart(cursor.peek())) {
      throw cursor.error("expected a path, as in arg0.id, found " + cursor.found());
    }
    cursor.accept(root);
    List<Path.Step> depth = root.equals(Path.STACK) && cursor.isAtBracket() ? depth() : List.of();
    return new Path(root, column, steps(depth));
  }

  /** Parses {@code (16)}. */
  private List<Path.Step> depth() throws SelectorException {
    char close = cursor.open();
    cursor.skipBlanks();
    int column = cursor.column();
    Literal literal = literals.literal();
    boolean isDepth =
        literal.kind == Literal.Kind.INTEGER
            && (Long) literal.value >= 1
            && (Long) literal.value <= StacksLayout.MAX_FRAMES;
    if (!isDepth) {
      throw cursor.error(
          column,
          "expected a number of frames from 1 to "
              + StacksLayout.MAX_FRAMES
              + ", found "
              + literal);
    }
    expectClose(close);
    return List.of(new Path.Step(Path.Step.Kind.DEPTH, Path.STACK, literal.value, column));
  }

  /** Parses {@code ((Order) arg0).id}. */
  private Path cast(int casts) throws SelectorException {
    if (casts == MAX_CASTS) {
      throw cursor.error("a path has at most " + MAX_CASTS + " casts");
    }
    char close = cursor.open();
    cursor.skipBlanks();
    if (!cursor.isAtBracket()) {
      throw cursor.error("expected a cast, as in ((Order) arg0).id, found " + cursor.found());
    }
    char closeType = cursor.open();
    cursor.skipBlanks();
    int column = cursor.column();
    if (!Cursor.isNameStart(cursor.peek())) {
      throw cursor.error("expected the name of a class, found " + cursor.found());
    }
    String type = acceptTypeName(cursor);
    expectClose(closeType);
    cursor.skipBlanks();
    Path inner = path(casts + 1);
    expectClose(close);
    List<Path.Step> steps = new ArrayList<>(inner.steps);
    steps.add(new Path.Step(Path.Step.Kind.CAST, type, null, column));
    return new Path(inner.root, inner.column, steps(steps));
  }

  private void expectClose(char close) throws SelectorException {
    cursor.skipBlanks();
    if (!cursor.acceptClose(close)) {
      throw cursor.error("expected '" + close + "', found " + cursor.found());
    }
  }

  private List<Path.Step> steps(List<Path.Step> before) throws SelectorException {
    List<Path.Step> steps = new ArrayList<>(before);
    while (true) {
      if (cursor.peek() == '[' && isDigit(cursor.peek(1))) {
        steps.add(index());
      } else if (cursor.peek() == '[' && isQuote(cursor.peek(1))) {
        throw cursor.error("a value of a map is read by its key, as in .get(\"id\")");
      } else if (cursor.accept(".")) {
        steps.add(named());
      } else {
        return steps;
      }
    }
  }

  private static boolean isDigit(char c) {
    return c >= '0' && c <= '9';
  }

  private static boolean isQuote(char c) {
    return c == '"' || c == '\'';
  }

  private Path.Step index() throws SelectorException {
    cursor.take();
    int column = cursor.column();
    Literal literal = literals.literal();
    boolean isIndex =
        literal.kind == Literal.Kind.INTEGER && (Long) literal.value <= Integer.MAX_VALUE;
    if (!isIndex) {
      throw cursor.error(column, "expected an index, as in [0], found " + literal);
    }
    expectClose(']');
    return new Path.Step(Path.Step.Kind.INDEX, "[" + literal.value + "]", literal.value, column);
  }

  private Path.Step named() throws SelectorException {
    int column = cursor.column();
    String name = cursor.word();
    if (!Cursor.isNameStart(cursor.peek())) {
      throw cursor.error(
          "expected a field or a method after '.', found "
              + cursor.found()
              + (isDigit(cursor.peek()) ? "; write [" + name + "] for an element" : ""));
    }
    cursor.accept(name);
    boolean isElement = isDigit(cursor.peek(1)) || isQuote(cursor.peek(1)) && !name.equals("get");
    if (!cursor.isAtBracket() || cursor.peek() == '[' && isElement) {
      return new Path.Step(Path.Step.Kind.PROPERTY, name, null, column);
    }
    char close = cursor.open();
    cursor.skipBlanks();
    if (cursor.acceptClose(close)) {
      return new Path.Step(Path.Step.Kind.CALL, name, null, column);
    }
    Literal key = name.equals("get") ? literals.literal() : null;
    if (key == null || key.kind != Literal.Kind.STRING && key.kind != Literal.Kind.INTEGER) {
      throw cursor.error(
          "expected '"
              + close
              + "': only methods without arguments are called, and get with a string or a whole"
              + " number");
    }
    expectClose(close);
    return new Path.Step(Path.Step.Kind.GET, "get", key.value, column);
  }
}
