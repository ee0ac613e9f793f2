// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import org.objectweb.asm.Opcodes;

/**
 * Finds a constructor's call of super() or this(): the call of an {@code <init>} for which no
 * {@code new} is open. Compilers emit the two in pairs, nested like brackets.
 */
final class Initialization {
  private int open;

  void visitTypeInsn(int opcode) {
    if (opcode == Opcodes.NEW) {
      open++;
    }
  }

  /** Whether this call initializes {@code this}. Every call must be shown, in order. */
  boolean completesAt(int opcode, String name) {
    if (opcode != Opcodes.INVOKESPECIAL || !name.equals("<init>")) {
      return false;
    }
    if (open == 0) {
      return true;
    }
    open--;
    return false;
  }
}
