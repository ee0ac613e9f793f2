// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.Map;
import org.objectweb.asm.Opcodes;

/** Parses the pattern of methods after "#", and the modifiers at the start of a selector. */
final class MethodParser {
  private static final int VISIBILITY =
      Opcodes.ACC_PUBLIC | Opcodes.ACC_PROTECTED | Opcodes.ACC_PRIVATE;

  private static final Map<String, Integer> MODIFIERS =
      Map.of(
          "public", Opcodes.ACC_PUBLIC,
          "protected", Opcodes.ACC_PROTECTED,
          "private", Opcodes.ACC_PRIVATE,
          "static", Opcodes.ACC_STATIC,
          "final", Opcodes.ACC_FINAL,
          "synchronized", Opcodes.ACC_SYNCHRONIZED,
          "abstract", Opcodes.ACC_ABSTRACT);

  private final Cursor cursor;
  private final GlobParser globs;
  private final TypeParser types;

  MethodParser(Cursor cursor) {
    this.cursor = cursor;
    this.globs = new GlobParser(cursor);
    this.types = new TypeParser(cursor);
  }

  /** Parses modifiers, if there are any. */
  int modifiers() throws SelectorException {
    int modifiers = 0;
    for (Integer next = modifier(); next != null; next = modifier()) {
      if ((next & VISIBILITY) != 0 && (modifiers & VISIBILITY & ~next) != 0) {
        throw cursor.error("a method is public, protected or private, and not two of them");
      }
      modifiers |= next;
      cursor.accept(cursor.word());
      cursor.skipBlanks();
    }
    return modifiers;
  }

  /**
   * Returns the modifier that is next; null if none is. A word names a class unless a blank
   * follows.
   */
  private Integer modifier() {
    String word = cursor.word();
    char after = cursor.peek(word.length());
    return after != Cursor.END && Cursor.isBlank(after) ? MODIFIERS.get(word) : null;
  }

  /** Parses annotation, name and types. */
  MethodPattern methods(int modifiers) throws SelectorException {
    int start = cursor.column();
    cursor.skipBlanks();
    Glob annotation = globs.annotation();
    if (annotation != null && !nameEnds()) {
      throw globs.oddCharacter("an annotation's");
    }
    cursor.skipBlanks();
    Glob name = annotation == null || !ClauseParser.isAhead(cursor) ? name() : null;
    TypeListPattern arguments = arguments();
    TypePattern returned = returned();
    if (annotation == null && name == null && arguments == null && returned == null) {
      throw cursor.error(start, "expected a method after '#'; * stands for every one");
    }
    return new MethodPattern(modifiers, annotation, name, arguments, returned);
  }

  /** Returns null if there is none. */
  private Glob name() throws SelectorException {
    Glob name = globs.isAhead() || cursor.isAt("<") ? globs.method() : null;
    if (!nameEnds()) {
      throw cursor.error("'" + cursor.peek() + "' cannot be in a method's name");
    }
    return name;
  }

  private boolean nameEnds() {
    return cursor.atEnd() || cursor.isAtBlank() || cursor.isAtBracket() || cursor.peek() == ':';
  }

  private TypeListPattern arguments() throws SelectorException {
    cursor.skipBlanks();
    boolean typesAhead = cursor.isAtBracket() && !CaptureParser.isAhead(cursor);
    return typesAhead ? types.list() : null;
  }

  private TypePattern returned() throws SelectorException {
    cursor.skipBlanks();
    if (!cursor.accept(":")) {
      return null;
    }
    cursor.skipBlanks();
    return types.type();
  }
}
