// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * Stack map frames of one part of the injected code. All its labels have the same variables: those
 * that the method always has there, and those that weaving has added.
 */
final class Frames {
  private final boolean wanted;
  private final List<Object> own;
  private final AddedLocals added;
  private final Object receiver;

  private Frames(boolean wanted, List<Object> own, AddedLocals added, Object receiver) {
    this.wanted = wanted;
    this.own = own;
    this.added = added;
    this.receiver = receiver;
  }

  /** Returns the frames at the beginning of a method, with its receiver and arguments. */
  static Frames atBegin(boolean wanted, String className, TracedMethod method, AddedLocals added) {
    List<Object> own = new ArrayList<>();
    Object receiver = method.isConstructor() ? Opcodes.UNINITIALIZED_THIS : className;
    if (!method.isStatic()) {
      own.add(receiver);
    }
    for (Type type : Type.getArgumentTypes(method.descriptor)) {
      own.add(typeOf(type));
    }
    return new Frames(wanted, own, added, receiver);
  }

  /**
   * Returns the frames after the body, where the method's variables are unknown.
   *
   * @param receiver type of {@code this}
   * @param isFirst true if the first variable always holds it there and the frame must name it
   */
  static Frames atEnd(boolean wanted, Object receiver, boolean isFirst, AddedLocals added) {
    return new Frames(wanted, isFirst ? List.of(receiver) : List.of(), added, receiver);
  }

  /**
   * Emits the frame of the label that was just visited and an instruction. Without the instruction,
   * the next label could have the same offset, where only one frame is allowed.
   */
  void visit(MethodVisitor code, Object... stack) {
    if (wanted) {
      List<Object> locals = new ArrayList<>(own);
      added.appendTo(locals, receiver);
      code.visitFrame(Opcodes.F_NEW, locals.size(), locals.toArray(), stack.length, stack);
      code.visitInsn(Opcodes.NOP);
    }
  }

  /** Returns a type in the form of stack map frames. */
  static Object typeOf(Type type) {
    switch (type.getSort()) {
      case Type.BOOLEAN:
      case Type.BYTE:
      case Type.SHORT:
      case Type.CHAR:
      case Type.INT:
        return Opcodes.INTEGER;
      case Type.LONG:
        return Opcodes.LONG;
      case Type.FLOAT:
        return Opcodes.FLOAT;
      case Type.DOUBLE:
        return Opcodes.DOUBLE;
      default:
        return type.getInternalName();
    }
  }
}
