// SPDX-License-Identifier: Apache-2.0

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import org.objectweb.asm.AnnotationVisitor;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.TypePath;

/**
 * Compares the executable parts of two class files: members with code, exception handlers and
 * frames.
 */
final class ClassCode {
  /** Flags of class files. ASM adds further bits for attributes such as Deprecated. */
  private static final int FLAGS = 0xffff;

  private ClassCode() {}

  /** Returns "equal", "equivalent", or the first difference. */
  static String compare(byte[] one, byte[] other) {
    if (Arrays.equals(one, other)) {
      return "equal";
    }
    Map<String, byte[]> ones = members(one);
    Map<String, byte[]> others = members(other);
    if (!ones.keySet().equals(others.keySet())) {
      return "has other members";
    }
    for (String name : ones.keySet()) {
      if (!Arrays.equals(ones.get(name), others.get(name))) {
        return "differs in " + name;
      }
    }
    return "equivalent";
  }

  /**
   * Returns each field and method with its code as a separate class file. The JVM generates a class
   * file with members and constants in another order, and fewer line numbers.
   */
  private static Map<String, byte[]> members(byte[] classFile) {
    ClassReader reader = new ClassReader(classFile);
    Map<String, ClassWriter> writers = new TreeMap<>();
    reader.accept(
        new ClassVisitor(Opcodes.ASM9) {
          private ClassWriter member(String name) {
            ClassWriter writer = new ClassWriter(0);
            writer.visit(
                reader.readUnsignedShort(6),
                reader.getAccess() & FLAGS,
                reader.getClassName(),
                null,
                reader.getSuperName(),
                reader.getInterfaces());
            writers.put(name, writer);
            return writer;
          }

          @Override
          public FieldVisitor visitField(
              int access, String name, String descriptor, String signature, Object value) {
            // The JVM ignores and drops the values of non-static fields (JVMS 4.7.2).
            Object kept = (access & Opcodes.ACC_STATIC) == 0 ? null : value;
            member(name + ":" + descriptor)
                .visitField(access & FLAGS, name, descriptor, signature, kept);
            return null;
          }

          @Override
          public MethodVisitor visitMethod(
              int access, String name, String descriptor, String signature, String[] exceptions) {
            return new CodeAlone(
                member(name + descriptor)
                    .visitMethod(access & FLAGS, name, descriptor, signature, exceptions));
          }
        },
        ClassReader.SKIP_DEBUG);
    Map<String, byte[]> files = new TreeMap<>();
    writers.forEach((name, writer) -> files.put(name, writer.toByteArray()));
    return files;
  }

  /** Drops annotations, because the JVM keeps only those that are visible at run time. */
  private static final class CodeAlone extends MethodVisitor {
    CodeAlone(MethodVisitor next) {
      super(Opcodes.ASM9, next);
    }

    @Override
    public AnnotationVisitor visitAnnotation(String descriptor, boolean isVisible) {
      return null;
    }

    @Override
    public AnnotationVisitor visitParameterAnnotation(
        int parameter, String descriptor, boolean isVisible) {
      return null;
    }

    @Override
    public AnnotationVisitor visitTypeAnnotation(
        int reference, TypePath path, String descriptor, boolean isVisible) {
      return null;
    }

    @Override
    public AnnotationVisitor visitInsnAnnotation(
        int reference, TypePath path, String descriptor, boolean isVisible) {
      return null;
    }

    @Override
    public AnnotationVisitor visitTryCatchAnnotation(
        int reference, TypePath path, String descriptor, boolean isVisible) {
      return null;
    }

    @Override
    public AnnotationVisitor visitLocalVariableAnnotation(
        int reference,
        TypePath path,
        Label[] start,
        Label[] end,
        int[] index,
        String descriptor,
        boolean isVisible) {
      return null;
    }
  }
}
