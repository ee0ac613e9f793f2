// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.regex.Pattern;
import org.objectweb.asm.Type;

/** Matches one type of a signature, such as {@code int}, {@code String[]}, {@code java.util.*}. */
final class TypePattern {
  private static final Pattern ARGUMENT =
      Pattern.compile(
          "(?!(boolean|byte|char|double|float|int|long|short|void)$)[a-z][A-Za-z0-9_]*");

  private final Glob element;
  private final int dimensions;

  TypePattern(Glob element, int dimensions) {
    this.element = element;
    this.dimensions = dimensions;
  }

  /** Returns true for a name in lower case that is no primitive type. */
  boolean looksLikeArgument() {
    return dimensions == 0 && ARGUMENT.matcher(element.toString()).matches();
  }

  @Override
  public String toString() {
    return element.toString();
  }

  boolean matches(Type type) {
    String name = type.getClassName();
    for (int i = 0; i < dimensions; i++) {
      if (!name.endsWith("[]")) {
        return false;
      }
      name = name.substring(0, name.length() - 2);
    }
    return isAny() || (!name.endsWith("[]") && namesMatch(name));
  }

  /** Returns true for a single star, which matches every type, including arrays. */
  private boolean isAny() {
    return element.toString().equals("*") || element.toString().equals("**");
  }

  /** Matches the full name, the name without the package, and the simple name of a nested class. */
  private boolean namesMatch(String name) {
    return element.matches(name)
        || element.matches(name, name.lastIndexOf('.') + 1)
        || (!element.hasDot() && element.matches(name, name.lastIndexOf('$') + 1));
  }
}
