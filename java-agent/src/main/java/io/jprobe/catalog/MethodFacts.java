// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.List;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/** What a class file says of one of its methods. */
final class MethodFacts {
  final String name;
  final String descriptor;
  private final int access;
  private final List<String> argumentNames;

  MethodFacts(int access, String name, String descriptor, List<String> argumentNames) {
    this.access = access;
    this.name = name;
    this.descriptor = descriptor;
    this.argumentNames = List.copyOf(argumentNames);
  }

  boolean hasCode() {
    return (access & (Opcodes.ACC_ABSTRACT | Opcodes.ACC_NATIVE)) == 0;
  }

  boolean isStatic() {
    return (access & Opcodes.ACC_STATIC) != 0;
  }

  Type[] argumentTypes() {
    return Type.getArgumentTypes(descriptor);
  }

  /** The name in the debug information, else "arg" and the index from 0. */
  String argumentName(int index) {
    return argumentNames.get(index);
  }
}
