// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;
import org.objectweb.asm.Type;

/** Matches the types of all arguments, in order. */
final class TypeListPattern {
  /** The element "..": any number of any types. */
  static final TypePattern ANY_NUMBER = new TypePattern(Glob.ANYTHING, 0);

  private final List<TypePattern> patterns;

  TypeListPattern(List<TypePattern> patterns) {
    this.patterns = List.copyOf(patterns);
  }

  /**
   * Returns the first element if all of them look like names of arguments and none like a type, as
   * in {@code (timeout, acks)}; otherwise an empty string.
   */
  String firstOfNames() {
    String first = "";
    for (TypePattern pattern : patterns) {
      if (pattern != ANY_NUMBER && !pattern.looksLikeArgument()) {
        return "";
      }
      first = first.isEmpty() && pattern != ANY_NUMBER ? pattern.toString() : first;
    }
    return first;
  }

  /**
   * Widens only the last ".." that has been passed: it can match everything that an earlier one
   * could.
   */
  boolean matches(Type[] types) {
    int p = 0;
    int t = 0;
    int open = -1;
    int taken = 0;
    while (t < types.length) {
      if (p < patterns.size() && patterns.get(p) == ANY_NUMBER) {
        open = p++;
        taken = t;
      } else if (p < patterns.size() && patterns.get(p).matches(types[t])) {
        p++;
        t++;
      } else if (open >= 0) {
        p = open + 1;
        t = ++taken;
      } else {
        return false;
      }
    }
    while (p < patterns.size() && patterns.get(p) == ANY_NUMBER) {
      p++;
    }
    return p == patterns.size();
  }
}
