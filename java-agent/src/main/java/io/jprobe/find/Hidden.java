// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

/** Words why hidden classes cannot be traced. */
final class Hidden {
  private static final String LAMBDA = "$$Lambda";

  private Hidden() {}

  static String reason(Class<?> type) {
    String name = LoadedProgram.nameOf(type);
    int lambda = name.indexOf(LAMBDA);
    return lambda < 0
        ? "it is a hidden class, which the JVM does not retransform"
        : "it is a lambda's own class, which the JVM does not retransform; write '"
            + name.substring(0, lambda)
            + "#lambda$*' for the lambda's body";
  }
}
