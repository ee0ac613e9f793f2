// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.TypedPath.Root;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.stub.FireBinding;
import java.util.EnumSet;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * The code that fires one method's probes. It boxes nothing and allocates nothing; of what it
 * keeps, the start of the call is the first of {@link #locals}.
 */
abstract class Injection {
  static final String FIRE = FireBinding.FIRE;

  final TracedClass traced;
  final TracedMethod method;
  final AddedLocals locals;

  /** The local with the time at which the call began, or java.jprobe.Fire.SUPPRESSED. */
  final int start;

  /**
   * The local with a constructor's {@code this}, where its own may be lost before it ends; -1 where
   * that is not, or nobody looks.
   */
  final int receiver;

  /** Whether it matters where in the constructor {@code this} is initialized, and is not plain. */
  final boolean needsConstruction;

  private final EnumSet<ProbeKind> kinds;

  Injection(TracedClass traced, TracedMethod method, EnumSet<ProbeKind> kinds, MethodShape shape) {
    this.traced = traced;
    this.method = method;
    this.kinds = kinds;
    this.locals = new AddedLocals(shape.maxLocals);
    this.start = locals.add(Opcodes.LONG);
    boolean turns = isConstructor() && !shape.isStraight();
    boolean isWanted = needsReceiverAtEnd() || turns && fires(ProbeKind.THROW);
    this.receiver = isWanted && !shape.keepsReceiver() ? locals.addReceiver() : -1;
    this.needsConstruction = turns && (receiver >= 0 || fires(ProbeKind.THROW));
  }

  /** Whether a call that returns is asked for the {@code this} of a constructor. */
  final boolean needsReceiverAtEnd() {
    return isConstructor()
        && fires(ProbeKind.RETURN)
        && method.captures.paths().stream().anyMatch(path -> path.root == Root.THIS);
  }

  /** At the beginning of the method. Stack: unchanged, empty. */
  abstract void begin(MethodVisitor code, Frames frames);

  /** In place of a return instruction. */
  abstract void returns(MethodVisitor code, int opcode);

  /** After the method's last instruction, outside of its handlers. */
  abstract void end(MethodVisitor code, Frames frames);

  /** In a handler for everything. Stack: throwable → the same. */
  abstract void thrown(MethodVisitor code, Frames frames);

  /** Slots of the operand stack that {@link #begin} takes, at most. */
  abstract int beginStack();

  /** Slots that the other code takes on top of what the method has on the stack, at most. */
  abstract int endStack();

  final boolean fires(ProbeKind kind) {
    return kinds.contains(kind);
  }

  /** Whether the time of the call's start is needed. */
  final boolean measures() {
    return fires(ProbeKind.RETURN) || fires(ProbeKind.THROW);
  }

  final boolean isConstructor() {
    return method.isConstructor();
  }

  final void pushGate(MethodVisitor code) {
    code.visitLdcInsn(method.gate());
  }

  /** The address of the probe in the gate. */
  final void pushProbe(MethodVisitor code, ProbeKind kind) {
    code.visitLdcInsn(method.probe(kind));
  }

  /** The same, from the gate's beginning. */
  static int offset(ProbeKind kind) {
    return Gate.probe(kind);
  }

  static void callFire(MethodVisitor code, String name, String descriptor) {
    code.visitMethodInsn(Opcodes.INVOKESTATIC, FIRE, name, descriptor, false);
  }

  static void callStatic(MethodVisitor code, String owner, String name, String descriptor) {
    code.visitMethodInsn(Opcodes.INVOKESTATIC, owner, name, descriptor, false);
  }

  static void pushInt(MethodVisitor code, int value) {
    if (value >= 0 && value <= 5) {
      code.visitInsn(Opcodes.ICONST_0 + value);
    } else if (value == (byte) value) {
      code.visitIntInsn(Opcodes.BIPUSH, value);
    } else if (value == (short) value) {
      code.visitIntInsn(Opcodes.SIPUSH, value);
    } else {
      code.visitLdcInsn(value);
    }
  }
}
