// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/** Properties of a field in a class file. */
public final class FieldFacts {
  /** ACC_ flags of the class file (JVMS 4.5). */
  public final int access;

  public final String name;
  public final Type type;

  FieldFacts(int access, String name, Type type) {
    this.access = access;
    this.name = name;
    this.type = type;
  }

  public boolean isStatic() {
    return (access & Opcodes.ACC_STATIC) != 0;
  }
}
