// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;

/** Parses one selector. docs/selectors.md contains the grammar. */
final class SelectorParser {
  private final Cursor cursor;
  private final GlobParser globs;
  private final MethodParser methods;

  SelectorParser(Cursor cursor) {
    this.cursor = cursor;
    this.globs = new GlobParser(cursor);
    this.methods = new MethodParser(cursor);
  }

  Selector parse() throws SelectorException {
    if (cursor.atEnd()) {
      throw cursor.error("expected a class, as in com.acme.*#*");
    }
    boolean excludes = acceptNot();
    cursor.skipBlanks();
    int modifiers = methods.modifiers();
    Glob annotation = globs.annotation();
    boolean spaced = cursor.isAtBlank();
    cursor.skipBlanks();
    if (annotation != null && isAnnotated()) {
      MethodPattern any = new MethodPattern(modifiers, null, null, null, null);
      return withRest(excludes, ClassPattern.ANY, annotation, any);
    }
    ClassPattern classes = classes(annotation, spaced);
    return withRest(excludes, classes, null, methods.methods(modifiers));
  }

  private boolean acceptNot() {
    if (cursor.accept("!")) {
      return true;
    }
    char after = cursor.peek(3);
    return after != Cursor.END && Cursor.isBlank(after) && cursor.acceptWord("not");
  }

  /** Returns true if the selector consists of an annotation. */
  private boolean isAnnotated() {
    return cursor.atEnd() || cursor.isAtBracket() || ClauseParser.isAhead(cursor);
  }

  /** Parses the classes and the "#" after them. */
  private ClassPattern classes(Glob annotation, boolean spaced) throws SelectorException {
    int start = cursor.column();
    boolean withSubtypes = cursor.accept("+");
    cursor.skipBlanks();
    if (!globs.isAhead()) {
      if (annotation != null && !withSubtypes && acceptHash()) {
        return new ClassPattern(annotation, false, null);
      }
      throw noClass(withSubtypes, annotation != null && !spaced);
    }
    Glob name = globs.dotted();
    int end = cursor.column();
    cursor.skipBlanks();
    if (!acceptHash()) {
      throw noMethod(cursor.text.substring(start, end), cursor.column() > end);
    }
    return new ClassPattern(annotation, withSubtypes, name);
  }

  private boolean acceptHash() {
    return cursor.accept("#") || cursor.accept("::");
  }

  private SelectorException noClass(boolean afterPlus, boolean inAnnotation) {
    if (cursor.isAt("#") || cursor.isAt("::")) {
      String hash = cursor.isAt("#") ? "'#'" : "'::'";
      return cursor.error("expected a class before " + hash + ", as in com.acme.*#*");
    }
    if (cursor.atEnd()) {
      return cursor.error("expected a class, as in com.acme.*#*, found the end");
    }
    return globs.oddCharacter(inAnnotation && !afterPlus ? "an annotation's" : "a class's");
  }

  private SelectorException noMethod(String classes, boolean spaced) {
    if (cursor.atEnd()) {
      String meant = withHash(classes);
      return cursor.error(
          "expected '#' and a method, as in " + (meant.isEmpty() ? classes + "#*" : meant));
    }
    if (spaced || cursor.isAtBracket()) {
      String meant = cursor.isAtBracket() ? withHash(classes) : "";
      return cursor.error(
          "expected '#' and a method, found "
              + cursor.found()
              + (meant.isEmpty() ? "" : "; write '#' before the method: " + meant));
    }
    return cursor.peek() == ':'
        ? cursor.error("expected '::', found ':'")
        : globs.oddCharacter("a class's");
  }

  /** Returns {@code Orders#place} for {@code Orders.place}; empty if this ends in no method. */
  private static String withHash(String classes) {
    int dot = classes.lastIndexOf('.');
    String type = classes.substring(classes.lastIndexOf('.', dot - 1) + 1, Math.max(dot, 0));
    boolean isMethod =
        !type.isEmpty()
            && Character.isUpperCase(type.charAt(0))
            && Character.isLowerCase(classes.charAt(dot + 1));
    return isMethod ? classes.substring(0, dot) + "#" + classes.substring(dot + 1) : "";
  }

  /** Parses captures and clauses up to the end. */
  private Selector withRest(
      boolean excludes, ClassPattern classes, Glob annotated, MethodPattern matched)
      throws SelectorException {
    cursor.skipBlanks();
    int rest = cursor.column();
    List<Capture> captures = cursor.isAtBracket() ? new CaptureParser(cursor).list() : List.of();
    Clauses clauses = new ClauseParser(cursor, captures).clauses();
    if (excludes && rest < cursor.column()) {
      throw cursor.error(rest, "an exclusion has neither captures nor conditions");
    }
    return new Selector(cursor, excludes, classes, annotated, matched, captures, clauses);
  }
}
