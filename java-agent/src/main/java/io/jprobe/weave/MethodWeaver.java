// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ProbeKind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Puts the injection at a method's entry, before each return, and behind a handler for everything
 * that is thrown out of it. The call's start is kept in a new local variable after all others, so
 * that no instruction of the method changes: virtual threads, recursion and lost events cannot
 * spoil a duration.
 *
 * <p>The handler's frame knows no local but the new ones: what the method keeps in its variables
 * differs from place to place. In a constructor a second handler stands for the part before super()
 * or this(), where the verifier wants to see that {@code this} is not initialized. The call itself
 * cannot be covered: no frame satisfies the verifier for it (JVMS 4.10.1.9, invokespecial), so that
 * what comes out of super() fires the throw probe of the constructor that threw it, not of this
 * one.
 */
final class MethodWeaver extends MethodVisitor {
  private static final String THROWABLE = "java/lang/Throwable";

  private final Injection injection;
  private final boolean hasFrames;
  private final Initialization initialization = new Initialization();
  private final Label bodyStart = new Label();
  private final Label initializing = new Label();
  private final Label initialized = new Label();

  MethodWeaver(MethodVisitor next, Injection injection, boolean hasFrames) {
    super(Opcodes.ASM9, next);
    this.injection = injection;
    this.hasFrames = hasFrames;
  }

  @Override
  public void visitCode() {
    super.visitCode();
    injection.begin(
        mv,
        Frames.atBegin(
            hasFrames, injection.traced.internalName, injection.method, injection.locals));
    mv.visitLabel(bodyStart);
  }

  @Override
  public void visitFrame(int type, int localCount, Object[] local, int stackCount, Object[] stack) {
    List<Object> locals = new ArrayList<>(Arrays.asList(local).subList(0, localCount));
    injection.locals.appendTo(locals);
    super.visitFrame(Opcodes.F_NEW, locals.size(), locals.toArray(), stackCount, stack);
  }

  @Override
  public void visitTypeInsn(int opcode, String type) {
    initialization.visitTypeInsn(opcode);
    super.visitTypeInsn(opcode, type);
  }

  @Override
  public void visitMethodInsn(
      int opcode, String owner, String name, String descriptor, boolean isInterface) {
    boolean initializes = injection.isConstructor() && initialization.completesAt(opcode, name);
    if (initializes) {
      mv.visitLabel(initializing);
    }
    super.visitMethodInsn(opcode, owner, name, descriptor, isInterface);
    if (initializes) {
      mv.visitLabel(initialized);
    }
  }

  @Override
  public void visitInsn(int opcode) {
    if (opcode >= Opcodes.IRETURN && opcode <= Opcodes.RETURN) {
      injection.returns(mv, opcode);
    } else {
      super.visitInsn(opcode);
    }
  }

  @Override
  public void visitMaxs(int maxStack, int maxLocals) {
    Label bodyEnd = new Label();
    mv.visitLabel(bodyEnd);
    if (injection.fires(ProbeKind.THROW)) {
      if (injection.isConstructor()) {
        visitHandler(bodyStart, initializing, Opcodes.UNINITIALIZED_THIS);
        visitHandler(initialized, bodyEnd, null);
      } else {
        visitHandler(bodyStart, bodyEnd, null);
      }
    }
    Object receiver = injection.isConstructor() ? injection.traced.internalName : null;
    injection.end(mv, Frames.atEnd(hasFrames, receiver, injection.locals));
    super.visitMaxs(
        Math.max(maxStack + injection.endStack(), injection.beginStack()), injection.locals.end());
  }

  /**
   * Appends a handler. It is the last in the table, so that the method's own come first. It names
   * no type: to find out whether an exception is a Throwable, the JVM would ask the class's loader.
   */
  private void visitHandler(Label from, Label to, Object receiver) {
    Label handler = new Label();
    mv.visitTryCatchBlock(from, to, handler, null);
    mv.visitLabel(handler);
    Frames frames = Frames.atEnd(hasFrames, receiver, injection.locals);
    frames.visit(mv, THROWABLE);
    injection.thrown(mv, frames);
    mv.visitInsn(Opcodes.ATHROW);
  }
}
