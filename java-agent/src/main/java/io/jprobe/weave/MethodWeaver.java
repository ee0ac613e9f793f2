// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.catalog.ProbeKind;
import java.util.ArrayList;
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
 * <p>The handler's frame knows no local but that one: what the method keeps in its variables differs
 * from place to place. In a constructor a second handler stands for the part before super() or
 * this(), where the verifier wants to see that {@code this} is not initialized. The call itself
 * cannot be covered: no frame satisfies the verifier for it (JVMS 4.10.1.9, invokespecial), so that
 * what comes out of super() fires the throw probe of the constructor that threw it, not of this one.
 */
final class MethodWeaver extends MethodVisitor {
  private static final String THROWABLE = "java/lang/Throwable";

  private final Injection injection;

  /** The new variable, a long. */
  private final int start;

  private final boolean hasFrames;
  private final Initialization initialization = new Initialization();
  private final Label bodyStart = new Label();
  private final Label initializing = new Label();
  private final Label initialized = new Label();

  MethodWeaver(MethodVisitor next, Injection injection, int maxLocals, boolean hasFrames) {
    super(Opcodes.ASM9, next);
    this.injection = injection;
    this.start = maxLocals;
    this.hasFrames = hasFrames;
  }

  @Override
  public void visitCode() {
    super.visitCode();
    if (injection.fires(ProbeKind.ENTRY)) {
      injection.fireEntry(mv);
    }
    if (injection.measures()) {
      injection.pushNanoTime(mv);
      mv.visitVarInsn(Opcodes.LSTORE, start);
    }
    mv.visitLabel(bodyStart);
  }

  @Override
  public void visitFrame(int type, int localCount, Object[] local, int stackCount, Object[] stack) {
    if (!injection.measures()) {
      super.visitFrame(type, localCount, local, stackCount, stack);
      return;
    }
    List<Object> locals = new ArrayList<>();
    int slots = 0;
    for (int i = 0; i < localCount; i++) {
      locals.add(local[i]);
      slots += local[i] == Opcodes.LONG || local[i] == Opcodes.DOUBLE ? 2 : 1;
    }
    appendStart(locals, slots);
    super.visitFrame(Opcodes.F_NEW, locals.size(), locals.toArray(), stackCount, stack);
  }

  /** Adds the new variable to a frame whose locals so far take {@code slots}. */
  private void appendStart(List<Object> locals, int slots) {
    for (int slot = slots; slot < start; slot++) {
      locals.add(Opcodes.TOP);
    }
    locals.add(Opcodes.LONG);
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
    boolean returns = opcode >= Opcodes.IRETURN && opcode <= Opcodes.RETURN;
    if (returns && injection.fires(ProbeKind.RETURN)) {
      injection.fireReturn(mv, start);
    }
    super.visitInsn(opcode);
  }

  @Override
  public void visitMaxs(int maxStack, int maxLocals) {
    if (injection.fires(ProbeKind.THROW)) {
      Label bodyEnd = new Label();
      mv.visitLabel(bodyEnd);
      if (injection.isConstructor()) {
        visitHandler(bodyStart, initializing, Opcodes.UNINITIALIZED_THIS);
        visitHandler(initialized, bodyEnd, Opcodes.TOP);
      } else {
        visitHandler(bodyStart, bodyEnd, Opcodes.TOP);
      }
    }
    super.visitMaxs(
        Math.max(maxStack + Injection.EXIT_STACK, injection.entryStack()), maxLocals + 2);
  }

  /** Appends a handler. It is the last in the table, so that the method's own come first. */
  private void visitHandler(Label from, Label to, Object receiver) {
    Label handler = new Label();
    mv.visitTryCatchBlock(from, to, handler, THROWABLE);
    mv.visitLabel(handler);
    if (hasFrames) {
      List<Object> locals = new ArrayList<>();
      if (start > 0) {
        locals.add(receiver);
      }
      appendStart(locals, locals.size());
      mv.visitFrame(
          Opcodes.F_NEW, locals.size(), locals.toArray(), 1, new Object[] {THROWABLE});
    }
    injection.fireThrow(mv, start);
    mv.visitInsn(Opcodes.ATHROW);
  }
}
