// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ValueType;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** Generates code that converts Java values to 64-bit words and back. */
final class Words {
  private Words() {}

  /**
   * Converts a value other than a reference, whose word is an address. Stack: ..., value → ...,
   * long.
   */
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
      default:
        code.visitInsn(Opcodes.I2L);
    }
  }

  /** Converts a word to the number it represents. Stack: ..., long → ..., double. */
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
