// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/** Properties of a method in a class file. */
public final class MethodFacts {
  /** ACC_ flags of the class file (JVMS 4.6). */
  public final int access;

  public final String name;
  public final String descriptor;

  /**
   * Binary names, with dots, of the annotations on the method, of every retention except SOURCE.
   */
  public final Set<String> annotations;

  private final List<String> argumentNames;

  public MethodFacts(
      int access,
      String name,
      String descriptor,
      Set<String> annotations,
      List<String> argumentNames) {
    this.access = access;
    this.name = name;
    this.descriptor = descriptor;
    this.annotations = Set.copyOf(annotations);
    this.argumentNames = List.copyOf(argumentNames);
  }

  /** Returns this method with more annotations. */
  MethodFacts withAnnotations(Set<String> more) {
    Set<String> all = new HashSet<>(annotations);
    all.addAll(more);
    return new MethodFacts(access, name, descriptor, all, argumentNames);
  }

  public boolean hasCode() {
    return (access & (Opcodes.ACC_ABSTRACT | Opcodes.ACC_NATIVE)) == 0;
  }

  public boolean isStatic() {
    return (access & Opcodes.ACC_STATIC) != 0;
  }

  public boolean isConstructor() {
    return name.equals("<init>");
  }

  public Type[] argumentTypes() {
    return Type.getArgumentTypes(descriptor);
  }

  public Type returnType() {
    return Type.getReturnType(descriptor);
  }

  /** Returns the name in the debug information, otherwise "arg" and the index from 0. */
  public String argumentName(int index) {
    return argumentNames.get(index);
  }

  @Override
  public String toString() {
    return name + descriptor;
  }
}
