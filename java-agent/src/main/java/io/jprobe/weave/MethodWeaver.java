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
 * Injects code at a method's entry, before each return, and in a catch-all handler. A new local
 * variable after all others keeps the start of the call, so no instruction of the method changes,
 * and virtual threads, recursion and lost events cannot falsify a duration.
 *
 * <p>The handler's frame contains only the new variables, because the method's own differ from
 * instruction to instruction. A constructor has a second handler for the code before super() or
 * this(), whose frame must show that {@code this} is uninitialized, in whichever variable holds it.
 * No frame for the call itself satisfies the verifier (JVMS 4.10.1.9, invokespecial). So an
 * exception from super() fires the throw probe of the constructor that threw it, not of this one.
 */
final class MethodWeaver extends MethodVisitor {
  private static final String THROWABLE = "java/lang/Throwable";

  /** Maximum number of slots of the operand stack and of local variables (JVMS 4.11). */
  private static final int MAX_SLOTS = 65_535;

  private final Injection injection;
  private final boolean hasFrames;
  private final Construction construction;
  private final Label bodyStart = new Label();
  private final Label initializing = new Label();
  private final Label initialized = new Label();
  private boolean isInitialized;

  /**
   * Local variable with the time at which a probe of an inner set began to fire; -1 if there is no
   * inner set, or no duration.
   */
  private final int firing;

  /**
   * @param isOuter whether the method has an inner set of probes, whose firings do not belong to
   *     the durations of this one
   * @param construction for a constructor that is not straight ({@link MethodShape#isStraight});
   *     null for all others
   */
  MethodWeaver(
      MethodVisitor next,
      Injection injection,
      boolean isOuter,
      boolean hasFrames,
      Construction construction) {
    super(Opcodes.ASM9, next);
    this.injection = injection;
    this.hasFrames = hasFrames;
    this.construction = construction;
    this.firing = isOuter && injection.measures() ? injection.locals.add(Opcodes.LONG) : -1;
  }

  @Override
  public void visitCode() {
    super.visitCode();
    if (injection.firstLine > 0) {
      // A stack that is taken before the body has the line of its first instruction.
      Label begin = new Label();
      mv.visitLabel(begin);
      mv.visitLineNumber(injection.firstLine, begin);
    }
    if (injection.receiver >= 0) {
      // The verifier marks it as initialized together with the first variable.
      mv.visitVarInsn(Opcodes.ALOAD, 0);
      mv.visitVarInsn(Opcodes.ASTORE, injection.receiver);
    }
    if (firing >= 0) {
      mv.visitInsn(Opcodes.LCONST_0);
      mv.visitVarInsn(Opcodes.LSTORE, firing);
    }
    injection.begin(
        mv,
        Frames.atBegin(
            hasFrames, injection.traced.internalName, injection.method, injection.locals));
    mv.visitLabel(bodyStart);
  }

  @Override
  public void visitFrame(int type, int localCount, Object[] local, int stackCount, Object[] stack) {
    List<Object> locals = new ArrayList<>(Arrays.asList(local).subList(0, localCount));
    injection.locals.appendTo(locals, receiverAt(locals));
    super.visitFrame(Opcodes.F_NEW, locals.size(), locals.toArray(), stackCount, stack);
  }

  /**
   * Returns the type of {@code this} at a frame. Every frame before super() must name it (JVMS
   * 4.10.1.4).
   */
  private Object receiverAt(List<Object> locals) {
    return locals.contains(Opcodes.UNINITIALIZED_THIS)
        ? Opcodes.UNINITIALIZED_THIS
        : injection.traced.internalName;
  }

  @Override
  public void visitMethodInsn(
      int opcode, String owner, String name, String descriptor, boolean isInterface) {
    boolean initializes =
        injection.isConstructor()
            && construction == null
            && !isInitialized
            && opcode == Opcodes.INVOKESPECIAL
            && name.equals("<init>");
    if (initializes) {
      isInitialized = true;
      mv.visitLabel(initializing);
    }
    boolean fires = firing >= 0 && Injection.isFiring(owner, name);
    if (fires) {
      Injection.callFire(mv, "now", "()J");
      mv.visitVarInsn(Opcodes.LSTORE, firing);
    }
    super.visitMethodInsn(opcode, owner, name, descriptor, isInterface);
    if (fires) {
      mv.visitVarInsn(Opcodes.LLOAD, injection.start);
      mv.visitVarInsn(Opcodes.LLOAD, firing);
      Injection.callFire(mv, "skip", "(JJ)J");
      mv.visitVarInsn(Opcodes.LSTORE, injection.start);
    }
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
      visitHandlers(bodyEnd);
    }
    boolean isFirst = injection.needsReceiverAtEnd() && injection.receiver < 0;
    injection.end(
        mv, Frames.atEnd(hasFrames, injection.traced.internalName, isFirst, injection.locals));
    int stack = Math.max(maxStack + injection.endStack(), injection.beginStack());
    if (Math.max(stack, injection.locals.end()) > MAX_SLOTS) {
      throw new IllegalArgumentException(
          "the probes would take more than 65535 slots of its frame");
    }
    super.visitMaxs(stack, injection.locals.end());
  }

  private void visitHandlers(Label bodyEnd) {
    String type = injection.traced.internalName;
    if (construction != null) {
      visitHandler(construction.parts(false), Opcodes.UNINITIALIZED_THIS);
      visitHandler(construction.parts(true), type);
    } else if (injection.isConstructor()) {
      visitHandler(
          List.of(new Construction.Part(bodyStart, initializing)), Opcodes.UNINITIALIZED_THIS);
      visitHandler(List.of(new Construction.Part(initialized, bodyEnd)), type);
    } else {
      visitHandler(List.of(new Construction.Part(bodyStart, bodyEnd)), type);
    }
  }

  /**
   * Appends a handler at the end of the table, after the method's own. It has no type, because the
   * JVM would ask the class's loader for Throwable.
   */
  private void visitHandler(List<Construction.Part> parts, Object receiver) {
    if (parts.isEmpty()) {
      return;
    }
    Label handler = new Label();
    parts.forEach(part -> mv.visitTryCatchBlock(part.from, part.to, handler, null));
    mv.visitLabel(handler);
    boolean isFirst = receiver == Opcodes.UNINITIALIZED_THIS && injection.receiver < 0;
    Frames frames = Frames.atEnd(hasFrames, receiver, isFirst, injection.locals);
    frames.visit(mv, THROWABLE);
    injection.thrown(mv, frames);
    mv.visitInsn(Opcodes.ATHROW);
  }
}
