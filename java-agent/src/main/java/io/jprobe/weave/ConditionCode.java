// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.TypedCondition;
import io.jprobe.capture.TypedCondition.Comparison;
import io.jprobe.capture.TypedCondition.Compound;
import io.jprobe.capture.TypedCondition.Kind;
import io.jprobe.capture.TypedCondition.Negation;
import io.jprobe.capture.TypedCondition.Operand;
import io.jprobe.capture.TypedPath;
import io.jprobe.capture.TypedPath.Root;
import io.jprobe.select.Condition.Junction;
import io.jprobe.select.Condition.Relation;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Generates the code of conditions on paths that have been read. The stack is empty at each jump.
 */
final class ConditionCode {
  private final PathCode paths;
  private final int elapsed;

  ConditionCode(PathCode paths, int elapsed) {
    this.paths = paths;
    this.elapsed = elapsed;
  }

  /** Jumps unless the condition holds. */
  void jumpUnless(
      MethodVisitor code, Frames frames, PathCode.Pass pass, TypedCondition condition, Label no) {
    if (condition instanceof Comparison) {
      compare(code, pass, (Comparison) condition, no);
    } else if (condition instanceof Negation) {
      Label holds = new Label();
      jumpUnless(code, frames, pass, ((Negation) condition).negated, holds);
      code.visitJumpInsn(Opcodes.GOTO, no);
      land(code, frames, holds);
    } else if (((Compound) condition).junction == Junction.AND) {
      jumpUnless(code, frames, pass, ((Compound) condition).left, no);
      jumpUnless(code, frames, pass, ((Compound) condition).right, no);
    } else {
      Label otherwise = new Label();
      Label holds = new Label();
      jumpUnless(code, frames, pass, ((Compound) condition).left, otherwise);
      code.visitJumpInsn(Opcodes.GOTO, holds);
      land(code, frames, otherwise);
      jumpUnless(code, frames, pass, ((Compound) condition).right, no);
      land(code, frames, holds);
    }
  }

  private static void land(MethodVisitor code, Frames frames, Label label) {
    code.visitLabel(label);
    frames.visit(code);
  }

  private void compare(MethodVisitor code, PathCode.Pass pass, Comparison comparison, Label no) {
    if (isMissing(pass, comparison.left) || isMissing(pass, comparison.right)) {
      // After a plain jump, the verifier would require a frame.
      code.visitInsn(Opcodes.ICONST_0);
      code.visitJumpInsn(Opcodes.IFEQ, no);
      return;
    }
    checkPresence(code, comparison.left.path, comparison.kind, no);
    checkPresence(code, comparison.right.path, comparison.kind, no);
    switch (comparison.kind) {
      case INTEGRAL:
        pushLong(code, comparison.left);
        pushLong(code, comparison.right);
        code.visitInsn(Opcodes.LCMP);
        code.visitJumpInsn(oppositeJump(comparison.relation), no);
        break;
      case DECIMAL:
        pushDouble(code, comparison.left);
        pushDouble(code, comparison.right);
        // NaN is not less than, greater than or equal to any number.
        boolean upwards =
            comparison.relation == Relation.LESS || comparison.relation == Relation.LESS_OR_EQUAL;
        code.visitInsn(upwards ? Opcodes.DCMPG : Opcodes.DCMPL);
        code.visitJumpInsn(oppositeJump(comparison.relation), no);
        break;
      case STRING:
        pushString(code, comparison.left);
        pushString(code, comparison.right);
        Injection.callFire(code, "same", "(Ljava/lang/String;Ljava/lang/String;)Z");
        code.visitJumpInsn(wantsEqual(comparison) ? Opcodes.IFEQ : Opcodes.IFNE, no);
        break;
      case NULL:
        compareWithNull(code, comparison, no);
        break;
      default:
        throw new IllegalStateException("no code for a comparison of kind " + comparison.kind);
    }
  }

  private static boolean isMissing(PathCode.Pass pass, Operand operand) {
    return operand.path != null && pass.isMissing(operand.path);
  }

  /**
   * Jumps if the value is absent: the comparison does not hold then, except that a null in the path
   * equals null.
   */
  private void checkPresence(MethodVisitor code, TypedPath path, Kind kind, Label no) {
    if (path == null || !path.canBeAbsent()) {
      return;
    }
    paths.loadAbsence(code, path);
    if (kind == Kind.NULL) {
      Injection.pushInt(code, PathCode.THREW);
      code.visitJumpInsn(Opcodes.IF_ICMPEQ, no);
    } else {
      code.visitJumpInsn(Opcodes.IFNE, no);
    }
  }

  private void compareWithNull(MethodVisitor code, Comparison comparison, Label no) {
    TypedPath path = comparison.left.path != null ? comparison.left.path : comparison.right.path;
    boolean wantsNull = wantsEqual(comparison);
    paths.load(code, path);
    code.visitJumpInsn(wantsNull ? Opcodes.IFNONNULL : Opcodes.IFNULL, no);
  }

  /** Strings and references have these two relations only. */
  private static boolean wantsEqual(Comparison comparison) {
    switch (comparison.relation) {
      case EQUAL:
        return true;
      case NOT_EQUAL:
        return false;
      default:
        throw new IllegalStateException("no code for " + comparison.relation + " of references");
    }
  }

  private void pushLong(MethodVisitor code, Operand operand) {
    if (operand.path == null) {
      code.visitLdcInsn(operand.constant);
    } else if (operand.path.root == Root.DURATION) {
      code.visitVarInsn(Opcodes.LLOAD, elapsed);
    } else {
      paths.load(code, operand.path);
    }
  }

  private void pushDouble(MethodVisitor code, Operand operand) {
    if (operand.path == null) {
      code.visitLdcInsn(operand.constant);
    } else {
      paths.load(code, operand.path);
      Words.toDouble(code, operand.path.valueType);
    }
  }

  private void pushString(MethodVisitor code, Operand operand) {
    if (operand.path == null) {
      code.visitLdcInsn(operand.constant);
    } else {
      paths.load(code, operand.path);
    }
  }

  /** Returns the jump for results of a comparison instruction that do not satisfy the relation. */
  private static int oppositeJump(Relation relation) {
    switch (relation) {
      case EQUAL:
        return Opcodes.IFNE;
      case NOT_EQUAL:
        return Opcodes.IFEQ;
      case LESS:
        return Opcodes.IFGE;
      case LESS_OR_EQUAL:
        return Opcodes.IFGT;
      case GREATER:
        return Opcodes.IFLE;
      case GREATER_OR_EQUAL:
        return Opcodes.IFLT;
      default:
        throw new IllegalStateException("no jump for the relation " + relation);
    }
  }
}
