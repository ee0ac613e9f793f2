// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.TypedPath.Root;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.stub.FireBinding;
import java.util.EnumSet;
import java.util.Set;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Generates the code that fires one method's probes. The code neither boxes nor allocates. The
 * first of the {@link #locals} is the start of the call.
 */
abstract class Injection {
  static final String FIRE = FireBinding.FIRE;
  private static final Set<String> FIRING =
      Set.of("entry", "exit", "thrown", "fire", "text", "className", "object");

  final TracedClass traced;
  final TracedMethod method;
  final AddedLocals locals;

  /** Local variable with the start of the call in ns, or java.jprobe.Fire.SUPPRESSED. */
  final int start;

  /**
   * Local variable with a copy of a constructor's {@code this}; -1 if the original variable keeps
   * it to the end or no probe needs it.
   */
  final int receiver;

  /** True if the injection needs {@link Construction}. */
  final boolean needsConstruction;

  /** The line of a stack that is taken before the body; 0 if none is, or it is not known. */
  final int firstLine;

  private final EnumSet<ProbeKind> kinds;

  Injection(TracedClass traced, TracedMethod method, EnumSet<ProbeKind> kinds, MethodShape shape) {
    this.traced = traced;
    this.method = method;
    this.kinds = kinds;
    this.locals = new AddedLocals(shape.maxLocals);
    this.start = locals.add(Opcodes.LONG);
    this.firstLine = method.captures.hasStack() ? shape.firstLine : 0;
    boolean turns = isConstructor() && !shape.isStraight();
    boolean isWanted = needsReceiverAtEnd() || turns && fires(ProbeKind.THROW);
    this.receiver = isWanted && !shape.keepsReceiver() ? locals.addReceiver() : -1;
    this.needsConstruction = turns && (receiver >= 0 || fires(ProbeKind.THROW));
  }

  /** Returns true if the return probe of a constructor captures {@code this}. */
  final boolean needsReceiverAtEnd() {
    return isConstructor()
        && fires(ProbeKind.RETURN)
        && method.captures.paths().stream().anyMatch(path -> path.root == Root.THIS);
  }

  /** Emits code for the beginning of the method. Stack: unchanged, empty. */
  abstract void begin(MethodVisitor code, Frames frames);

  /** Replaces a return instruction. */
  abstract void returns(MethodVisitor code, int opcode);

  /** Emits code after the method's last instruction, outside of its handlers. */
  abstract void end(MethodVisitor code, Frames frames);

  /** Emits code for a catch-all handler. Stack: throwable → throwable. */
  abstract void thrown(MethodVisitor code, Frames frames);

  /** Returns the maximum number of operand stack slots that {@link #begin} needs. */
  abstract int beginStack();

  /**
   * Returns the maximum number of slots that the other code needs above the method's own operands.
   */
  abstract int endStack();

  final boolean fires(ProbeKind kind) {
    return kinds.contains(kind);
  }

  /** Returns true if the code needs the start of the call. */
  final boolean measures() {
    return fires(ProbeKind.RETURN) || fires(ProbeKind.THROW);
  }

  final boolean isConstructor() {
    return method.isConstructor();
  }

  final void pushGate(MethodVisitor code) {
    code.visitLdcInsn(method.gate());
  }

  /** Pushes the address of the probe in the gate. */
  final void pushProbe(MethodVisitor code, ProbeKind kind) {
    code.visitLdcInsn(method.probe(kind));
  }

  /** Returns the offset of the probe in the gate, in bytes. */
  static int offset(ProbeKind kind) {
    return Gate.probe(kind);
  }

  /** Returns true if a call of this method by woven code fires a probe, or copies text for that. */
  static boolean isFiring(String owner, String name) {
    return owner.equals(FIRE) && FIRING.contains(name);
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
