// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.Captures;
import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.TypedCondition;
import io.jprobe.capture.TypedPath;
import io.jprobe.capture.ValueType;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.EnumSet;
import java.util.List;
import java.util.function.ToLongFunction;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * Injects code for methods whose selector has paths or conditions on values. Values that exist when
 * the call begins are read then, into local variables, and the others when it ends. Every return
 * jumps to the end of the body, where the operand stack is empty and the frames are known, so that
 * the code may branch.
 */
final class RichInjection extends Injection {
  private final Captures captures;
  private final List<List<Integer>> leftovers;
  private final PathCode paths;
  private final ConditionCode conditions;
  private final Label exit = new Label();

  /**
   * Local variable with the duration in ns while the call ends, or Fire.SUPPRESSED; -1 if none is
   * needed.
   */
  private final int elapsed;

  /** Local variable with the returned value; -1 if there is none or no probe needs it. */
  private final int returned;

  private final Type returnType;
  private int returns;
  private boolean isExitUsed;

  /**
   * @param leftovers sizes of the stack entries below the value of each return instruction
   * @param offsets offsets of fields that are private to other classes
   */
  RichInjection(
      TracedClass traced,
      TracedMethod method,
      EnumSet<ProbeKind> kinds,
      MethodShape shape,
      List<List<Integer>> leftovers,
      ToLongFunction<TypedPath.Step> offsets) {
    super(traced, method, kinds, shape);
    this.captures = method.captures;
    this.leftovers = leftovers;
    this.returnType = Type.getReturnType(method.descriptor);
    this.elapsed = measures() ? locals.add(Opcodes.LONG) : -1;
    boolean keepsReturned = fires(ProbeKind.RETURN) && returnType.getSize() > 0;
    this.returned = keepsReturned ? locals.add(Frames.typeOf(returnType)) : -1;
    this.paths = new PathCode(new StepCode(method, offsets, receiver), locals, returned);
    if (fires(ProbeKind.THROW)) {
      paths.exceptionLocal();
    }
    this.conditions = new ConditionCode(paths, elapsed);
    captures.early.forEach(condition -> condition.paths().forEach(paths::want));
    captures.late.forEach(condition -> condition.paths().forEach(paths::want));
    for (ProbeKind kind : kinds) {
      captures.values(kind).stream()
          .filter(value -> value.path != null)
          .forEach(value -> paths.want(value.path));
    }
  }

  @Override
  void begin(MethodVisitor code, Frames frames) {
    Label suppressed = new Label();
    setDefaults(code);
    PathCode.Pass pass = paths.pass(code, frames, null);
    decide(code, frames, pass, captures.early, suppressed);
    if (captures.late.isEmpty()) {
      pushGate(code);
      callFire(code, "begin", "(J)J");
      code.visitVarInsn(Opcodes.LSTORE, start);
      jumpIfSuppressed(code, start, suppressed);
    }
    paths.early().forEach(pass::read);
    if (fires(ProbeKind.ENTRY)) {
      takeStacks(code, frames, ProbeKind.ENTRY);
      fire(code, ProbeKind.ENTRY);
    } else {
      callFire(code, "now", "()J");
    }
    code.visitVarInsn(Opcodes.LSTORE, start);
    if (!captures.early.isEmpty() || captures.late.isEmpty()) {
      landSuppressed(code, frames, fires(ProbeKind.ENTRY) ? ProbeKind.ENTRY : null, suppressed);
    }
  }

  /**
   * Emits the target of the jumps for suppressed calls.
   *
   * @param counted probe whose suppressed call is counted; null for none
   */
  private void landSuppressed(
      MethodVisitor code, Frames frames, ProbeKind counted, Label suppressed) {
    if (counted == null) {
      code.visitLabel(suppressed);
    } else {
      Label done = new Label();
      code.visitJumpInsn(Opcodes.GOTO, done);
      code.visitLabel(suppressed);
      frames.visit(code);
      pushProbe(code, counted);
      callFire(code, "suppress", "(J)V");
      code.visitLabel(done);
    }
    frames.visit(code);
  }

  private void setDefaults(MethodVisitor code) {
    code.visitLdcInsn(Long.MIN_VALUE);
    code.visitVarInsn(Opcodes.LSTORE, start);
    if (elapsed >= 0) {
      code.visitInsn(Opcodes.LCONST_0);
      code.visitVarInsn(Opcodes.LSTORE, elapsed);
    }
    if (returned >= 0) {
      pushZero(code, returnType);
      code.visitVarInsn(returnType.getOpcode(Opcodes.ISTORE), returned);
    }
    paths.setDefaults(code);
  }

  private static void pushZero(MethodVisitor code, Type type) {
    switch (type.getSort()) {
      case Type.LONG:
        code.visitInsn(Opcodes.LCONST_0);
        break;
      case Type.FLOAT:
        code.visitInsn(Opcodes.FCONST_0);
        break;
      case Type.DOUBLE:
        code.visitInsn(Opcodes.DCONST_0);
        break;
      case Type.OBJECT:
      case Type.ARRAY:
        code.visitInsn(Opcodes.ACONST_NULL);
        break;
      default:
        code.visitInsn(Opcodes.ICONST_0);
    }
  }

  private static void jumpIfSuppressed(MethodVisitor code, int local, Label suppressed) {
    code.visitVarInsn(Opcodes.LLOAD, local);
    code.visitLdcInsn(Long.MIN_VALUE);
    code.visitInsn(Opcodes.LCMP);
    code.visitJumpInsn(Opcodes.IFEQ, suppressed);
  }

  /** Evaluates the conditions in order and jumps at the first that does not hold. */
  private void decide(
      MethodVisitor code,
      Frames frames,
      PathCode.Pass pass,
      List<TypedCondition> all,
      Label suppressed) {
    for (TypedCondition condition : all) {
      condition.paths().forEach(pass::read);
      conditions.jumpUnless(code, frames, pass, condition, suppressed);
    }
  }

  @Override
  void returns(MethodVisitor code, int opcode) {
    List<Integer> below = leftovers.get(returns++);
    // An unreachable one has a frame too, with arbitrary contents.
    if (!fires(ProbeKind.RETURN) || below == null) {
      code.visitInsn(opcode);
      return;
    }
    if (returned >= 0) {
      code.visitVarInsn(returnType.getOpcode(Opcodes.ISTORE), returned);
    }
    for (int size : below) {
      code.visitInsn(size == 2 ? Opcodes.POP2 : Opcodes.POP);
    }
    code.visitJumpInsn(Opcodes.GOTO, exit);
    isExitUsed = true;
  }

  @Override
  void end(MethodVisitor code, Frames frames) {
    // A method that never returns does not need the code, and the verifier would reject it.
    if (!isExitUsed) {
      return;
    }
    code.visitLabel(exit);
    frames.visit(code);
    fireAtEnd(code, frames, ProbeKind.RETURN);
    if (returned >= 0) {
      code.visitVarInsn(returnType.getOpcode(Opcodes.ILOAD), returned);
    }
    code.visitInsn(returnType.getOpcode(Opcodes.IRETURN));
  }

  @Override
  void thrown(MethodVisitor code, Frames frames) {
    int exception = paths.exceptionLocal();
    code.visitVarInsn(Opcodes.ASTORE, exception);
    fireAtEnd(code, frames, ProbeKind.THROW);
    code.visitVarInsn(Opcodes.ALOAD, exception);
  }

  private void fireAtEnd(MethodVisitor code, Frames frames, ProbeKind kind) {
    Label suppressed = new Label();
    PathCode.Pass pass = paths.pass(code, frames, kind);
    code.visitVarInsn(Opcodes.LLOAD, start);
    if (captures.late.isEmpty()) {
      pushGate(code);
      pushInt(code, offset(kind));
      callFire(code, "elapsed", "(JJI)J");
      code.visitVarInsn(Opcodes.LSTORE, elapsed);
      jumpIfSuppressed(code, elapsed, suppressed);
    } else {
      callFire(code, "elapsed", "(J)J");
      code.visitVarInsn(Opcodes.LSTORE, elapsed);
      jumpIfSuppressed(code, elapsed, suppressed);
      decide(code, frames, pass, captures.late, suppressed);
      code.visitVarInsn(Opcodes.LLOAD, elapsed);
      pushGate(code);
      callFire(code, "admitsAtEnd", "(JJ)Z");
      code.visitJumpInsn(Opcodes.IFEQ, suppressed);
    }
    captures.values(kind).stream()
        .filter(value -> value.path != null && value.path.isLate)
        .forEach(value -> pass.read(value.path));
    takeStacks(code, frames, kind);
    fire(code, kind);
    code.visitInsn(Opcodes.POP2);
    landSuppressed(code, frames, captures.late.isEmpty() ? null : kind, suppressed);
  }

  private void takeStacks(MethodVisitor code, Frames frames, ProbeKind kind) {
    for (CapturedValue value : captures.values(kind)) {
      if (value.type == ValueType.STACK) {
        paths.takeStack(code, frames, value.path, kind);
      }
    }
  }

  /** Fires with all words. Stack: ... → ..., long: the time after an entry probe has fired. */
  private void fire(MethodVisitor code, ProbeKind kind) {
    List<CapturedValue> values = captures.values(kind);
    StringBuilder descriptor = new StringBuilder("(JJ");
    pushProbe(code, kind);
    if (kind == ProbeKind.ENTRY) {
      code.visitInsn(Opcodes.LCONST_0);
    } else {
      code.visitVarInsn(Opcodes.LLOAD, start);
      code.visitVarInsn(Opcodes.LLOAD, elapsed);
      code.visitInsn(Opcodes.LADD);
      code.visitVarInsn(Opcodes.LLOAD, elapsed);
      descriptor.append('J');
    }
    int text = 0;
    for (CapturedValue value : values) {
      if (value.path == null) {
        paths.pushAbsence(code, values);
      } else {
        text += paths.push(code, value.path, text) ? 1 : 0;
      }
      descriptor.append('J');
    }
    if (kind == ProbeKind.RETURN && values.isEmpty()) {
      code.visitInsn(Opcodes.LCONST_0);
      descriptor.append('J');
    }
    callFire(code, "threadId", "()J");
    callFire(code, "fire", descriptor.append("J)J").toString());
  }

  @Override
  int beginStack() {
    return endStack();
  }

  @Override
  int endStack() {
    int words = 0;
    for (ProbeKind kind : method.kinds()) {
      words = Math.max(words, captures.values(kind).size());
    }
    // Probe, time, duration, values, thread ID, and the slots for computing one of them or
    // comparing two.
    return 2 * (words + 4) + 4;
  }
}
