// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import io.jprobe.classfile.ClassFile;

/** Words why hidden classes cannot be traced. */
final class Hidden {
  private static final String LAMBDA = "$$Lambda";

  private Hidden() {}

  static String reason(Class<?> type, LoadedProgram program) {
    String name = LoadedProgram.nameOf(type);
    int lambda = name.indexOf(LAMBDA);
    if (lambda < 0) {
      return "it is a hidden class, which the JVM does not retransform";
    }
    String host = name.substring(0, lambda);
    ClassFile file = program.file(host, type.getClassLoader());
    if (file != null && !hasBodies(file)) {
      return "it is the class of a method reference, which the JVM does not retransform; select the"
          + " method that it refers to";
    }
    String reason = "it is a lambda's own class, which the JVM does not retransform";
    return file == null ? reason : reason + "; write '" + host + "#lambda$*' for the lambda's body";
  }

  private static boolean hasBodies(ClassFile host) {
    return host.methods.stream().anyMatch(method -> method.name.startsWith("lambda$"));
  }
}
