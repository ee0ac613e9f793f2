// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ValueType;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** Code that makes 64-bit words of Java's values, by contract 2 of the design, and back. */
final class Words {
  private Words() {}

  /** Stack: ..., value → ..., long. Not for strings, whose word is an address. */
  static void convert(MethodVisitor code, ValueType type) {
    switch (type) {
      case LONG:
        break;
      case FLOAT:
        Injection.callStatic(code, "java/lang/Float", "floatToRawIntBits", "(F)I");
        code.visitInsn(Opcodes.I2L);
        break;
      case DOUBLE:
        Injection.callStatic(code, "java/lang/Double", "doubleToRawLongBits", "(D)J");
        break;
      case REFERENCE:
        Injection.callStatic(code, "java/lang/System", "identityHashCode", "(Ljava/lang/Object;)I");
        code.visitInsn(Opcodes.I2L);
        break;
      default:
        code.visitInsn(Opcodes.I2L);
    }
  }

  /** Stack: ..., long → ..., double: the number that the word stands for. */
  static void toDouble(MethodVisitor code, ValueType type) {
    switch (type) {
      case FLOAT:
        code.visitInsn(Opcodes.L2I);
        Injection.callStatic(code, "java/lang/Float", "intBitsToFloat", "(I)F");
        code.visitInsn(Opcodes.F2D);
        break;
      case DOUBLE:
        Injection.callStatic(code, "java/lang/Double", "longBitsToDouble", "(J)D");
        break;
      default:
        code.visitInsn(Opcodes.L2D);
    }
  }
}
