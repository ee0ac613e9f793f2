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

/** Compares what two class files have run: their members, with code, handlers and frames. */
final class ClassCode {
  /** As class files have them; ASM adds what attributes say, as that something is deprecated. */
  private static final int FLAGS = 0xffff;

  private ClassCode() {}

  /** "equal", "equivalent", or the first difference. */
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
   * Each field and method with its code as a class file of its own. The JVM writes a class anew
   * with another order of members and constants, and less about lines.
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
            // The JVM ignores the values of others, and does not keep them (JVMS 4.7.2).
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

  /** A method without its annotations, of which the JVM keeps those alone that programs can see. */
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
