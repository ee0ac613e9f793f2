// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.TypedPath;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.catalog.TracedMethod;
import java.util.function.ToLongFunction;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/** Generates the code that evaluates one path, from its root to its value. */
final class StepCode {
  private static final String STRING = "java/lang/String";
  private static final String OBJECT = "java/lang/Object";

  private final TracedMethod method;
  private final ToLongFunction<Step> offsets;
  private final int receiver;

  /**
   * @param offsets offsets of fields that are private to other classes
   * @param receiver local variable with {@code this} if it is not the first; otherwise -1
   */
  StepCode(TracedMethod method, ToLongFunction<Step> offsets, int receiver) {
    this.method = method;
    this.offsets = offsets;
    this.receiver = Math.max(receiver, 0);
  }

  /**
   * Evaluates all steps. Stack: empty → value; at {@code isNull}: an object that is null or lacks
   * what the next step wants.
   *
   * @param returned local variable with the returned value
   * @param exception local variable with the exception
   */
  void walk(MethodVisitor code, TypedPath path, int returned, int exception, Label isNull) {
    pushRoot(code, path, returned, exception);
    String onStack = path.rootType.getSort() < Type.ARRAY ? null : path.rootType.getInternalName();
    for (Step step : path.steps) {
      code.visitInsn(Opcodes.DUP);
      code.visitJumpInsn(Opcodes.IFNULL, isNull);
      onStack = take(code, step, onStack, isNull);
    }
    if (path.type.getDescriptor().equals("Ljava/lang/String;")) {
      cast(code, onStack, STRING);
    }
  }

  /** Pushes the ID of the stack, for a probe that is about to fire. */
  void pushStack(MethodVisitor code, TypedPath path, ProbeKind kind) {
    code.visitLdcInsn(method.probe(kind));
    Injection.pushInt(code, path.argument);
    Injection.callFire(code, "stack", "(JI)J");
  }

  private void pushRoot(MethodVisitor code, TypedPath path, int returned, int exception) {
    switch (path.root) {
      case ARGUMENT:
        int local = method.isStatic() ? 0 : 1;
        Type[] types = Type.getArgumentTypes(method.descriptor);
        for (int i = 0; i < path.argument; i++) {
          local += types[i].getSize();
        }
        code.visitVarInsn(path.rootType.getOpcode(Opcodes.ILOAD), local);
        break;
      case THIS:
        code.visitVarInsn(Opcodes.ALOAD, receiver);
        break;
      case RETURN:
        code.visitVarInsn(path.rootType.getOpcode(Opcodes.ILOAD), returned);
        break;
      case EXCEPTION:
        code.visitVarInsn(Opcodes.ALOAD, exception);
        break;
      case CLASS:
        code.visitLdcInsn(Type.getObjectType(path.steps.get(0).owner));
        Injection.callFire(code, "initialized", "(Ljava/lang/Class;)Ljava/lang/Object;");
        break;
      case THREAD:
        Injection.callStatic(code, "java/lang/Thread", "currentThread", "()Ljava/lang/Thread;");
        break;
      default:
        throw new IllegalStateException("no code for the root " + path.root);
    }
  }

  /**
   * Evaluates one step. Stack: ..., object → ..., value.
   *
   * @param onStack internal name of the object's type for the verifier
   * @return internal name of the value's type for the verifier; null for primitive types
   */
  private String take(MethodVisitor code, Step step, String onStack, Label isNull) {
    switch (step.kind) {
      case LENGTH:
        code.visitInsn(Opcodes.ARRAYLENGTH);
        return null;
      case FALSE:
        code.visitInsn(Opcodes.POP);
        code.visitInsn(Opcodes.ICONST_0);
        return null;
      case FIELD:
        cast(code, onStack, step.owner);
        code.visitFieldInsn(Opcodes.GETFIELD, step.owner, step.name, step.type.getDescriptor());
        break;
      case METHOD:
        cast(code, onStack, step.owner);
        code.visitMethodInsn(
            step.isInterface ? Opcodes.INVOKEINTERFACE : Opcodes.INVOKEVIRTUAL,
            step.owner,
            step.name,
            "()" + step.type.getDescriptor(),
            step.isInterface);
        break;
      case HIDDEN_FIELD:
      case STATIC_FIELD:
        return takeHidden(code, step);
      case ELEMENT:
        code.visitInsn(Opcodes.DUP);
        code.visitInsn(Opcodes.ARRAYLENGTH);
        pushIndex(code, step);
        code.visitJumpInsn(Opcodes.IF_ICMPLE, isNull);
        pushIndex(code, step);
        code.visitInsn(step.type.getOpcode(Opcodes.IALOAD));
        break;
      case ITEM:
        pushIndex(code, step);
        Injection.callFire(code, "element", "(Ljava/lang/Object;I)Ljava/lang/Object;");
        return OBJECT;
      case GET:
        code.visitLdcInsn(step.key);
        String key = step.key instanceof Long ? "J" : "Ljava/lang/String;";
        Injection.callFire(code, "get", "(Ljava/lang/Object;" + key + ")Ljava/lang/Object;");
        return OBJECT;
      case CAST:
        code.visitInsn(Opcodes.DUP);
        code.visitTypeInsn(Opcodes.INSTANCEOF, step.owner);
        code.visitJumpInsn(Opcodes.IFEQ, isNull);
        code.visitTypeInsn(Opcodes.CHECKCAST, step.owner);
        return step.owner;
      case TEXT:
        Injection.callFire(code, "string", "(Ljava/lang/Object;)Ljava/lang/String;");
        code.visitInsn(Opcodes.DUP);
        code.visitJumpInsn(Opcodes.IFNULL, isNull);
        return STRING;
      default:
        return convert(code, step, isNull);
    }
    return step.type.getSort() < Type.ARRAY ? null : step.type.getInternalName();
  }

  private static void pushIndex(MethodVisitor code, Step step) {
    Injection.pushInt(code, ((Long) step.key).intValue());
  }

  /** Reads the number or boolean that an object holds. */
  private static String convert(MethodVisitor code, Step step, Label isNull) {
    String check =
        step.kind == Step.Kind.TRUTH
            ? "isBoolean"
            : step.kind == Step.Kind.DECIMAL ? "isNumber" : "isIntegral";
    code.visitInsn(Opcodes.DUP);
    Injection.callFire(code, check, "(Ljava/lang/Object;)Z");
    code.visitJumpInsn(Opcodes.IFEQ, isNull);
    Injection.callFire(code, step.name, "(Ljava/lang/Object;)" + step.type.getDescriptor());
    return null;
  }

  /** Casts the value of a hidden field, which is an Object for the verifier. */
  private static void cast(MethodVisitor code, String onStack, String wanted) {
    if (OBJECT.equals(onStack) && !OBJECT.equals(wanted)) {
      code.visitTypeInsn(Opcodes.CHECKCAST, wanted);
    }
  }

  private String takeHidden(MethodVisitor code, Step step) {
    code.visitLdcInsn(offsets.applyAsLong(step));
    boolean isReference = step.type.getSort() >= Type.ARRAY;
    String type = isReference ? "Ljava/lang/Object;" : step.type.getDescriptor();
    String name = isReference ? "Reference" : capitalized(step.type.getClassName());
    Injection.callFire(code, "field" + name, "(Ljava/lang/Object;J)" + type);
    if (step.type.getSort() == Type.ARRAY) {
      // Only the next step, the length, uses it.
      code.visitTypeInsn(Opcodes.CHECKCAST, step.type.getInternalName());
      return step.type.getInternalName();
    }
    return isReference ? OBJECT : null;
  }

  private static String capitalized(String name) {
    return Character.toUpperCase(name.charAt(0)) + name.substring(1);
  }
}
