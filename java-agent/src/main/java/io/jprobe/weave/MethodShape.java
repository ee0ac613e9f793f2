// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.catalog.TracedMethod;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** What must be known of a method before its first instruction is woven. */
final class MethodShape extends MethodVisitor {
  /** Local variable slots in use; woven variables come after them. */
  private int maxLocals;

  private final boolean isConstructor;
  private final Initialization initialization = new Initialization();
  private int initializations;

  private MethodShape(String name) {
    super(Opcodes.ASM9);
    this.isConstructor = name.equals("<init>");
  }

  /** The shapes of the wanted methods, by name and descriptor. */
  static Map<String, MethodShape> read(ClassReader reader, Set<TracedMethod> wanted) {
    Set<String> signatures = new HashSet<>();
    wanted.forEach(method -> signatures.add(method.toString()));
    Map<String, MethodShape> shapes = new HashMap<>();
    ClassVisitor visitor =
        new ClassVisitor(Opcodes.ASM9) {
          @Override
          public MethodVisitor visitMethod(
              int access, String name, String descriptor, String signature, String[] exceptions) {
            if (!signatures.contains(name + descriptor)) {
              return null;
            }
            MethodShape shape = new MethodShape(name);
            shapes.put(name + descriptor, shape);
            return shape;
          }
        };
    reader.accept(visitor, ClassReader.SKIP_DEBUG | ClassReader.SKIP_FRAMES);
    return shapes;
  }

  int maxLocals() {
    return maxLocals;
  }

  boolean isConstructor() {
    return isConstructor;
  }

  /** Whether it cannot be said, instruction by instruction, where {@code this} is initialized. */
  boolean hasUnclearInitialization() {
    return isConstructor && initializations != 1;
  }

  @Override
  public void visitTypeInsn(int opcode, String type) {
    initialization.visitTypeInsn(opcode);
  }

  @Override
  public void visitMethodInsn(
      int opcode, String owner, String name, String descriptor, boolean isInterface) {
    if (initialization.completesAt(opcode, name)) {
      initializations++;
    }
  }

  @Override
  public void visitMaxs(int maxStack, int maxLocals) {
    this.maxLocals = maxLocals;
  }
}
