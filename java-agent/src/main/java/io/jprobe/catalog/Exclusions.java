// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.Set;

/**
 * Lists the classes of the JDK that are never traced: woven code calls them, or the JVM and the
 * agent run them while they weave. A probe in one of them could fire recursively, or change the
 * code that is weaving.
 */
final class Exclusions {
  private static final Set<String> CLASSES =
      Set.of(
          "java.lang.Object",
          "java.lang.Class",
          "java.lang.ClassLoader",
          "java.lang.Double",
          "java.lang.Enum",
          "java.lang.Float",
          "java.lang.Module",
          "java.lang.String",
          "java.lang.StringLatin1",
          "java.lang.StringUTF16",
          "java.lang.System",
          "java.lang.Thread",
          "java.lang.Throwable",
          "java.lang.VirtualThread");

  private static final String[] PACKAGES = {
    "java.lang.instrument.",
    "java.lang.invoke.",
    "java.lang.ref.",
    "java.jprobe.",
    "jdk.internal.",
    "sun.instrument.",
  };

  private Exclusions() {}

  /**
   * Returns true if a class of the JDK cannot have probes; nested classes follow their outer one.
   */
  static boolean isExcluded(String className) {
    int nested = className.indexOf('$');
    if (CLASSES.contains(nested < 0 ? className : className.substring(0, nested))) {
      return true;
    }
    for (String name : PACKAGES) {
      if (className.startsWith(name)) {
        return true;
      }
    }
    return false;
  }
}
