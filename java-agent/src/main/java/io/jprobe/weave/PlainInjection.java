// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.EnumSet;
import java.util.List;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * Injects calls of java.jprobe.Fire without branches, for methods whose selector has neither paths
 * nor conditions other than the gate's numbers. The code must be short: methods of more than 35
 * bytes are inlined only if they are hot.
 */
final class PlainInjection extends Injection {
  private static final String GATE_AND_START = "JJ";

  PlainInjection(
      TracedClass traced, TracedMethod method, EnumSet<ProbeKind> kinds, MethodShape shape) {
    super(traced, method, kinds, shape);
  }

  @Override
  void begin(MethodVisitor code, Frames frames) {
    pushGate(code);
    callFire(code, fires(ProbeKind.ENTRY) ? "begin" : "start", "(J)J");
    code.visitVarInsn(Opcodes.LSTORE, start);
    if (fires(ProbeKind.ENTRY)) {
      fireEntry(code);
    }
  }

  private void fireEntry(MethodVisitor code) {
    List<CapturedValue> values = method.captures.values(ProbeKind.ENTRY);
    StringBuilder descriptor = new StringBuilder("(").append(GATE_AND_START);
    code.visitVarInsn(Opcodes.LLOAD, start);
    pushGate(code);
    int local = method.isStatic() ? 0 : 1;
    for (int i = 0; i < values.size(); i++) {
      pushArgument(code, values.get(i), local, i);
      local += values.get(i).javaType.getSize();
      descriptor.append('J');
    }
    callFire(code, "entry", descriptor.append(")J").toString());
    if (measures()) {
      code.visitVarInsn(Opcodes.LSTORE, start);
    } else {
      code.visitInsn(Opcodes.POP2);
    }
  }

  private void pushArgument(MethodVisitor code, CapturedValue value, int local, int slot) {
    switch (value.type) {
      case STRING:
        code.visitVarInsn(Opcodes.LLOAD, start);
        code.visitVarInsn(Opcodes.ALOAD, local);
        pushInt(code, slot);
        callFire(code, "text", "(JLjava/lang/String;I)J");
        break;
      case REFERENCE:
        code.visitVarInsn(Opcodes.LLOAD, start);
        code.visitVarInsn(Opcodes.ALOAD, local);
        pushInt(code, slot);
        callFire(code, "object", "(JLjava/lang/Object;I)J");
        break;
      default:
        code.visitVarInsn(value.javaType.getOpcode(Opcodes.ILOAD), local);
        Words.convert(code, value.type);
    }
  }

  @Override
  void returns(MethodVisitor code, int opcode) {
    if (fires(ProbeKind.RETURN)) {
      Type type = Type.getReturnType(method.descriptor);
      if (type.getSize() > 0) {
        code.visitInsn(type.getSize() == 2 ? Opcodes.DUP2 : Opcodes.DUP);
      }
      fireExit(code, "exit", typeOfExit(type));
    }
    code.visitInsn(opcode);
  }

  /** Returns the first parameter of Fire.exit for a value of this type. */
  private static String typeOfExit(Type type) {
    switch (type.getSort()) {
      case Type.VOID:
        return "";
      case Type.BOOLEAN:
      case Type.BYTE:
      case Type.SHORT:
      case Type.CHAR:
        return "I";
      case Type.OBJECT:
      case Type.ARRAY:
        String descriptor = type.getDescriptor();
        return descriptor.equals("Ljava/lang/String;") ? descriptor : "Ljava/lang/Object;";
      default:
        return type.getDescriptor();
    }
  }

  @Override
  void thrown(MethodVisitor code, Frames frames) {
    code.visitInsn(Opcodes.DUP);
    fireExit(code, "thrown", "Ljava/lang/Throwable;");
  }

  /** Stack: ..., value → ... */
  private void fireExit(MethodVisitor code, String name, String type) {
    pushGate(code);
    code.visitVarInsn(Opcodes.LLOAD, start);
    callFire(code, name, "(" + type + GATE_AND_START + ")V");
  }

  @Override
  void end(MethodVisitor code, Frames frames) {}

  @Override
  int beginStack() {
    // Start, gate and words; pushing the last word may need two more slots.
    int words = fires(ProbeKind.ENTRY) ? method.captures.values(ProbeKind.ENTRY).size() : 0;
    return 4 + 2 * words + 2;
  }

  @Override
  int endStack() {
    // Value, gate and start.
    return 6;
  }
}
