// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** Properties of a method that must be known before its first instruction is woven. */
final class MethodShape {
  /** Number of local variable slots in use; woven variables follow them. */
  final int maxLocals;

  private boolean isStraight = true;
  private boolean keepsReceiver = true;

  /** Line number of the first instruction; 0 if the class file has none. */
  final int firstLine;

  private MethodShape(int maxLocals, int firstLine) {
    this.maxLocals = maxLocals;
    this.firstLine = firstLine;
  }

  /** Returns the shapes of a class's methods with code, by name and descriptor. */
  static Map<String, MethodShape> read(ClassReader reader) {
    Map<String, MethodShape> shapes = readCodeAttributes(reader);
    reader.accept(
        new Constructors(shapes, reader.getClassName()),
        ClassReader.SKIP_DEBUG | ClassReader.EXPAND_FRAMES);
    return shapes;
  }

  /**
   * Returns true if a constructor's first call of an {@code <init>} is that of super() or this(),
   * and {@code this} is initialized after it and nowhere before. Otherwise {@link Construction} is
   * needed.
   */
  boolean isStraight() {
    return isStraight;
  }

  /**
   * Returns true if a constructor's first variable holds {@code this} from beginning to end and all
   * frames show it. Frames may omit variables that are no longer used, and the variable may be
   * reused; shrinkers and compilers other than javac do both.
   */
  boolean keepsReceiver() {
    return keepsReceiver;
  }

  /**
   * Reads max_locals from the class file (JVMS 4.1, 4.6, 4.7.3). A visitor receives it only after
   * all instructions, and visiting them for one number would double the time of weaving.
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
        int line = readFirstLine(reader, code, buffer);
        shapes.put(signature, new MethodShape(reader.readUnsignedShort(code + 8), line));
      }
      at = skipAttributes(reader, at + 6);
    }
    return shapes;
  }

  /** Returns the offset of the Code attribute in this attribute table, or 0. */
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

  /** Reads the entry of a LineNumberTable for the first instruction (JVMS 4.7.12). */
  private static int readFirstLine(ClassReader reader, int code, char[] buffer) {
    int at = code + 14 + reader.readInt(code + 10);
    at += 2 + 8 * reader.readUnsignedShort(at);
    int attributes = reader.readUnsignedShort(at);
    at += 2;
    for (int i = 0; i < attributes; i++) {
      if (reader.readUTF8(at, buffer).equals("LineNumberTable")) {
        for (int entry = 0; entry < reader.readUnsignedShort(at + 6); entry++) {
          if (reader.readUnsignedShort(at + 8 + 4 * entry) == 0) {
            return reader.readUnsignedShort(at + 10 + 4 * entry);
          }
        }
      }
      at += 6 + reader.readInt(at + 2);
    }
    return 0;
  }

  /** Returns the offset after the attribute table. */
  private static int skipAttributes(ClassReader reader, int table) {
    int at = table + 2;
    for (int left = reader.readUnsignedShort(table); left > 0; left--) {
      at += 6 + reader.readInt(at + 2);
    }
    return at;
  }

  /** Visits each constructor; skips all other methods. */
  private static final class Constructors extends ClassVisitor {
    private final Map<String, MethodShape> shapes;
    private final String className;

    Constructors(Map<String, MethodShape> shapes, String className) {
      super(Opcodes.ASM9);
      this.shapes = shapes;
      this.className = className;
    }

    @Override
    public MethodVisitor visitMethod(
        int access, String name, String descriptor, String signature, String[] exceptions) {
      MethodShape shape = name.equals("<init>") ? shapes.get(name + descriptor) : null;
      return shape == null ? null : new Constructor(shape, className);
    }
  }

  private static final class Constructor extends MethodVisitor {
    private final MethodShape shape;
    private final String className;
    private final Set<Label> guarded = new HashSet<>();
    private boolean isInitialized;

    Constructor(MethodShape shape, String className) {
      super(Opcodes.ASM9);
      this.shape = shape;
      this.className = className;
    }

    /**
     * Records an instruction that makes the position of super() uncertain if it precedes super().
     */
    private void turns() {
      if (!isInitialized) {
        shape.isStraight = false;
      }
    }

    @Override
    public void visitTryCatchBlock(Label start, Label end, Label handler, String type) {
      guarded.add(start);
    }

    @Override
    public void visitLabel(Label label) {
      if (guarded.contains(label)) {
        turns();
      }
    }

    @Override
    public void visitTypeInsn(int opcode, String type) {
      if (opcode == Opcodes.NEW) {
        turns();
      }
    }

    @Override
    public void visitJumpInsn(int opcode, Label label) {
      turns();
    }

    @Override
    public void visitTableSwitchInsn(int min, int max, Label otherwise, Label... labels) {
      turns();
    }

    @Override
    public void visitLookupSwitchInsn(Label otherwise, int[] keys, Label[] labels) {
      turns();
    }

    @Override
    public void visitInsn(int opcode) {
      if (opcode == Opcodes.ATHROW || opcode == Opcodes.RETURN) {
        turns();
      }
    }

    @Override
    public void visitVarInsn(int opcode, int local) {
      if (local == 0 && opcode >= Opcodes.ISTORE && opcode <= Opcodes.ASTORE) {
        shape.keepsReceiver = false;
        turns();
      }
    }

    @Override
    public void visitMethodInsn(
        int opcode, String owner, String called, String descriptor, boolean isInterface) {
      isInitialized |= opcode == Opcodes.INVOKESPECIAL && called.equals("<init>");
    }

    @Override
    public void visitFrame(
        int type, int localCount, Object[] locals, int stackCount, Object[] stack) {
      Object first = localCount == 0 ? Opcodes.TOP : locals[0];
      shape.keepsReceiver &= first == Opcodes.UNINITIALIZED_THIS || className.equals(first);
      shape.isStraight &=
          !Arrays.asList(locals).subList(0, localCount).contains(Opcodes.UNINITIALIZED_THIS);
    }

    @Override
    public void visitEnd() {
      shape.isStraight &= isInitialized;
    }
  }
}
