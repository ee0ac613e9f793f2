// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.catalog.CapturedValue;
import io.jprobe.catalog.ProbeKind;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.catalog.ValueType;
import io.jprobe.stapsdt.FireBinding;
import java.util.EnumSet;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * The code that fires one method's probes. It boxes nothing, allocates nothing, and calls only
 * java.jprobe.Fire and methods of the JDK that are final and simple.
 */
final class Injection {
  static final String FIRE = FireBinding.FIRE;
  private static final String TEXT_EXIT = "(Ljava/lang/String;JJJ)V";
  private static final String EXIT = "(JJJJ)V";

  /** Slots that {@link #fireReturn} and {@link #fireThrow} take: four longs, and one to subtract. */
  static final int EXIT_STACK = 10;

  private final TracedClass traced;
  private final TracedMethod method;
  private final EnumSet<ProbeKind> kinds;
  private final ThreadIdCall threadId;

  Injection(
      TracedClass traced, TracedMethod method, EnumSet<ProbeKind> kinds, ThreadIdCall threadId) {
    this.traced = traced;
    this.method = method;
    this.kinds = kinds;
    this.threadId = threadId;
  }

  boolean fires(ProbeKind kind) {
    return kinds.contains(kind);
  }

  /** Whether the time of the call's start is needed. */
  boolean measures() {
    return fires(ProbeKind.RETURN) || fires(ProbeKind.THROW);
  }

  /** Slots that {@link #fireEntry} takes: the stub, the arguments, the thread; one to convert. */
  int entryStack() {
    return 2 * (method.arguments.size() + 2) + 1;
  }

  boolean isConstructor() {
    return method.isConstructor();
  }

  /** Stack: unchanged. */
  void fireEntry(MethodVisitor code) {
    StringBuilder descriptor = new StringBuilder("(J");
    int local = method.firstArgumentLocal();
    int slot = 0;
    code.visitLdcInsn(traced.stub(method, ProbeKind.ENTRY));
    for (CapturedValue argument : method.arguments) {
      code.visitVarInsn(argument.javaType.getOpcode(Opcodes.ILOAD), local);
      if (argument.type == ValueType.STRING) {
        pushInt(code, slot);
        callFire(code, "text", "(Ljava/lang/String;I)J");
      } else {
        convert(code, argument.type);
      }
      descriptor.append('J');
      local += argument.javaType.getSize();
      slot++;
    }
    pushThreadId(code);
    callFire(code, "entry", descriptor.append("J)V").toString());
  }

  /** Stack: ..., value → the same; what the return instruction at hand would take. */
  void fireReturn(MethodVisitor code, int start) {
    CapturedValue value = method.returned;
    if (value == null) {
      code.visitInsn(Opcodes.LCONST_0);
    } else {
      code.visitInsn(value.javaType.getSize() == 2 ? Opcodes.DUP2 : Opcodes.DUP);
      if (value.type != ValueType.STRING) {
        convert(code, value.type);
      }
    }
    boolean text = value != null && value.type == ValueType.STRING;
    fireExit(code, ProbeKind.RETURN, start, text ? TEXT_EXIT : EXIT);
  }

  /** Stack: ..., throwable → the same. */
  void fireThrow(MethodVisitor code, int start) {
    code.visitInsn(Opcodes.DUP);
    code.visitMethodInsn(
        Opcodes.INVOKEVIRTUAL, "java/lang/Object", "getClass", "()Ljava/lang/Class;", false);
    code.visitMethodInsn(
        Opcodes.INVOKEVIRTUAL, "java/lang/Class", "getName", "()Ljava/lang/String;", false);
    fireExit(code, ProbeKind.THROW, start, TEXT_EXIT);
  }

  /** Stack: ..., value → ... */
  private void fireExit(MethodVisitor code, ProbeKind kind, int start, String descriptor) {
    code.visitLdcInsn(traced.stub(method, kind));
    pushNanoTime(code);
    code.visitVarInsn(Opcodes.LLOAD, start);
    code.visitInsn(Opcodes.LSUB);
    pushThreadId(code);
    callFire(code, "exit", descriptor);
  }

  void pushNanoTime(MethodVisitor code) {
    code.visitMethodInsn(Opcodes.INVOKESTATIC, "java/lang/System", "nanoTime", "()J", false);
  }

  private void pushThreadId(MethodVisitor code) {
    code.visitMethodInsn(
        Opcodes.INVOKESTATIC, "java/lang/Thread", "currentThread", "()Ljava/lang/Thread;", false);
    threadId.push(code);
  }

  private static void callFire(MethodVisitor code, String name, String descriptor) {
    code.visitMethodInsn(Opcodes.INVOKESTATIC, FIRE, name, descriptor, false);
  }

  /** Stack: ..., value → ..., long; by contract 2 of the design. */
  private static void convert(MethodVisitor code, ValueType type) {
    switch (type) {
      case LONG:
        break;
      case FLOAT:
        callStatic(code, "java/lang/Float", "floatToRawIntBits", "(F)I");
        code.visitInsn(Opcodes.I2L);
        break;
      case DOUBLE:
        callStatic(code, "java/lang/Double", "doubleToRawLongBits", "(D)J");
        break;
      case REFERENCE:
        callStatic(code, "java/lang/System", "identityHashCode", "(Ljava/lang/Object;)I");
        code.visitInsn(Opcodes.I2L);
        break;
      default:
        code.visitInsn(Opcodes.I2L);
    }
  }

  private static void callStatic(
      MethodVisitor code, String owner, String name, String descriptor) {
    code.visitMethodInsn(Opcodes.INVOKESTATIC, owner, name, descriptor, false);
  }

  private static void pushInt(MethodVisitor code, int value) {
    if (value <= 5) {
      code.visitInsn(Opcodes.ICONST_0 + value);
    } else {
      code.visitIntInsn(Opcodes.BIPUSH, value);
    }
  }
}
