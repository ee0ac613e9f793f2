// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import java.util.HashMap;
import java.util.Map;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** What must be known of a method before its first instruction is woven. */
final class MethodShape {
  /** Local variable slots in use; woven variables come after them. */
  final int maxLocals;

  private int initializations;

  private MethodShape(int maxLocals) {
    this.maxLocals = maxLocals;
  }

  /** The shapes of a class's methods with code, by name and descriptor. */
  static Map<String, MethodShape> read(ClassReader reader) {
    Map<String, MethodShape> shapes = readCodeAttributes(reader);
    reader.accept(new Constructors(shapes), ClassReader.SKIP_DEBUG | ClassReader.SKIP_FRAMES);
    return shapes;
  }

  /** Whether it cannot be said, instruction by instruction, where a constructor calls super(). */
  boolean hasUnclearInitialization() {
    return initializations != 1;
  }

  /**
   * Reads max_locals where it stands (JVMS 4.1, 4.6, 4.7.3). A visitor is told of it only after all
   * instructions; visiting them for one number would double the time that weaving takes.
   */
  private static Map<String, MethodShape> readCodeAttributes(ClassReader reader) {
    Map<String, MethodShape> shapes = new HashMap<>();
    char[] buffer = new char[reader.getMaxStringLength()];
    int at = reader.header + 6;
    at += 2 + 2 * reader.readUnsignedShort(at);
    int fields = reader.readUnsignedShort(at);
    at += 2;
    for (int i = 0; i < fields; i++) {
      at = skipAttributes(reader, at + 6);
    }
    int methods = reader.readUnsignedShort(at);
    at += 2;
    for (int i = 0; i < methods; i++) {
      String signature = reader.readUTF8(at + 2, buffer) + reader.readUTF8(at + 4, buffer);
      int code = findCode(reader, at + 6, buffer);
      if (code != 0) {
        shapes.put(signature, new MethodShape(reader.readUnsignedShort(code + 8)));
      }
      at = skipAttributes(reader, at + 6);
    }
    return shapes;
  }

  /** The offset of the Code attribute in the attribute table at hand, or 0. */
  private static int findCode(ClassReader reader, int table, char[] buffer) {
    int at = table + 2;
    for (int left = reader.readUnsignedShort(table); left > 0; left--) {
      if (reader.readUTF8(at, buffer).equals("Code")) {
        return at;
      }
      at += 6 + reader.readInt(at + 2);
    }
    return 0;
  }

  /** The offset of what follows the attribute table. */
  private static int skipAttributes(ClassReader reader, int table) {
    int at = table + 2;
    for (int left = reader.readUnsignedShort(table); left > 0; left--) {
      at += 6 + reader.readInt(at + 2);
    }
    return at;
  }

  /** Counts the calls of super() or this() in each constructor; skips all other methods. */
  private static final class Constructors extends ClassVisitor {
    private final Map<String, MethodShape> shapes;

    Constructors(Map<String, MethodShape> shapes) {
      super(Opcodes.ASM9);
      this.shapes = shapes;
    }

    @Override
    public MethodVisitor visitMethod(
        int access, String name, String descriptor, String signature, String[] exceptions) {
      if (!name.equals("<init>")) {
        return null;
      }
      MethodShape shape = shapes.get(name + descriptor);
      Initialization initialization = new Initialization();
      return new MethodVisitor(Opcodes.ASM9) {
        @Override
        public void visitTypeInsn(int opcode, String type) {
          initialization.visitTypeInsn(opcode);
        }

        @Override
        public void visitMethodInsn(
            int opcode, String owner, String called, String calledDescriptor, boolean isInterface) {
          if (initialization.completesAt(opcode, called)) {
            shape.initializations++;
          }
        }
      };
    }
  }
}
