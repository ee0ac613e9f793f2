// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import org.objectweb.asm.Type;

/** One type in a signature, as in {@code int}, {@code String[]}, {@code java.util.*}. */
final class TypePattern {
  private final Glob element;
  private final int dimensions;

  TypePattern(Glob element, int dimensions) {
    this.element = element;
    this.dimensions = dimensions;
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

  /** A lone star is every type, arrays too. */
  private boolean isAny() {
    return element.toString().equals("*") || element.toString().equals("**");
  }

  /** By the whole name, by the one without the package, and by a nested class's own. */
  private boolean namesMatch(String name) {
    return element.matches(name)
        || element.matches(name, name.lastIndexOf('.') + 1)
        || (!element.hasDot() && element.matches(name, name.lastIndexOf('$') + 1));
  }
}
