// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * The stack map frames of one piece of injected code. All its labels have the same variables: what
 * the method has there for certain, and those that weaving has added.
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

  /** At the beginning of a method: its receiver and arguments. */
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
   * After the body, where nothing is known of the method's variables.
   *
   * @param receiver the type of {@code this}
   * @param isFirst whether the first variable has it there for certain, and it matters
   */
  static Frames atEnd(boolean wanted, Object receiver, boolean isFirst, AddedLocals added) {
    return new Frames(wanted, isFirst ? List.of(receiver) : List.of(), added, receiver);
  }

  /**
   * The frame of the label that has just been visited. An instruction follows, because the next
   * label may be at the same place, and two frames there would be one too many.
   */
  void visit(MethodVisitor code, Object... stack) {
    if (wanted) {
      List<Object> locals = new ArrayList<>(own);
      added.appendTo(locals, receiver);
      code.visitFrame(Opcodes.F_NEW, locals.size(), locals.toArray(), stack.length, stack);
      code.visitInsn(Opcodes.NOP);
    }
  }

  /** A type as frames have it. */
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
