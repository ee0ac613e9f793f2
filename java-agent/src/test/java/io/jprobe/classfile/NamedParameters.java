// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import org.objectweb.asm.AnnotationVisitor;
import org.objectweb.asm.Attribute;
import org.objectweb.asm.ByteVector;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.TypeReference;

/**
 * Writes a class whose methods differ in everything that is adjacent to the attribute
 * MethodParameters in a class file and in HotSpot's memory.
 */
public final class NamedParameters {
  public static final String NAME = "com.acme.Named";

  private static final String[] NOTHING = {};
  private static final String[] IO = {"java/io/IOException"};

  private final ClassWriter writer = new ClassWriter(0);

  private NamedParameters() {}

  /** An unknown attribute. */
  private static final class Odd extends Attribute {
    Odd() {
      super("com.acme.Odd");
    }

    @Override
    protected ByteVector write(
        ClassWriter writer, byte[] code, int length, int maxStack, int maxLocals) {
      return new ByteVector().putInt(0x0dd);
    }
  }

  /** Returns the class file as a compiler writes it. */
  public static byte[] classFile() {
    return new NamedParameters().write();
  }

  private byte[] write() {
    writer.visit(
        Opcodes.V11, Opcodes.ACC_ABSTRACT, "com/acme/Named", null, "java/lang/Object", null);
    writer.visitField(Opcodes.ACC_STATIC, "f", "J", null, null).visitEnd();
    writer.visitField(Opcodes.ACC_STATIC, "g", "I", null, null).visitAttribute(new Odd());
    // An entry that occupies two indices.
    writer.newConst(1L);
    end(named("plain", "(IJ)V", null, NOTHING, "count", 0, "time", Opcodes.ACC_FINAL), 4);
    Object[] flags = {null, Opcodes.ACC_SYNTHETIC, null, Opcodes.ACC_MANDATED, null, 0};
    end(named("unnamed", "(III)V", null, NOTHING, flags), 4);
    end(named("odd", "(II)V", null, NOTHING, "", 0, "gr\u00f6\u00dfe\0\ud83d\ude00", 0x7fff), 3);
    end(named("generic", "(I)V", "<T:Ljava/lang/Object;>(I)V", NOTHING, "some", 0), 2);
    end(catching(named("throwing", "(I)V", null, IO, "by", 0)), 2);
    end(annotated(named("annotated", "(I)V", null, NOTHING, "size", Opcodes.ACC_FINAL)), 2);
    MethodVisitor all = named("all", "(I)V", "<T:Ljava/lang/Object;>(I)V", IO, "all", 0);
    annotated(all).visitAttribute(new Odd());
    end(catching(all), 2);
    end(named("without", "(I)V", null, NOTHING), 2);
    end(named("empty", "()V", null, NOTHING), 1);
    end(named("many", "(" + "I".repeat(254) + ")V", null, NOTHING, many()), 255);
    writer
        .visitMethod(Opcodes.ACC_ABSTRACT, "bodiless", "(I)V", null, null)
        .visitParameter("left", 0);
    writer.visitAttribute(new Odd());
    writer.visitEnd();
    return writer.toByteArray();
  }

  /** Maximum number of parameters of a method. */
  private static Object[] many() {
    Object[] parameters = new Object[2 * 254];
    for (int i = 0; i < 254; i++) {
      parameters[2 * i] = "p" + i;
      parameters[2 * i + 1] = i % 2 == 0 ? Opcodes.ACC_FINAL : 0;
    }
    return parameters;
  }

  private MethodVisitor named(
      String name, String descriptor, String signature, String[] thrown, Object... parameters) {
    MethodVisitor method =
        writer.visitMethod(Opcodes.ACC_PUBLIC, name, descriptor, signature, thrown);
    for (int i = 0; i < parameters.length; i += 2) {
      method.visitParameter((String) parameters[i], (Integer) parameters[i + 1]);
    }
    return method;
  }

  private static MethodVisitor annotated(MethodVisitor method) {
    AnnotationVisitor value = method.visitAnnotationDefault();
    value.visit(null, 7);
    value.visitEnd();
    method.visitAnnotation("Ljava/lang/Deprecated;", true).visitEnd();
    int returned = TypeReference.newTypeReference(TypeReference.METHOD_RETURN).getValue();
    method.visitTypeAnnotation(returned, null, "Ljava/lang/Deprecated;", true).visitEnd();
    method.visitParameterAnnotation(0, "Ljava/lang/Deprecated;", true).visitEnd();
    return method;
  }

  private static MethodVisitor catching(MethodVisitor method) {
    Label from = new Label();
    Label to = new Label();
    Label caught = new Label();
    method.visitCode();
    method.visitTryCatchBlock(from, to, caught, "java/lang/Exception");
    method.visitLabel(from);
    method.visitLineNumber(7, from);
    method.visitInsn(Opcodes.NOP);
    method.visitInsn(Opcodes.RETURN);
    method.visitLabel(to);
    method.visitLabel(caught);
    method.visitFrame(Opcodes.F_SAME1, 0, null, 1, new Object[] {"java/lang/Exception"});
    method.visitInsn(Opcodes.POP);
    return method;
  }

  private static void end(MethodVisitor method, int locals) {
    method.visitInsn(Opcodes.RETURN);
    method.visitMaxs(1, locals);
    method.visitEnd();
  }

  /**
   * Returns the class file as a JVM with JDK-8240908 returns it: with the complete constant pool,
   * without the attribute.
   */
  public static byte[] hidden(byte[] classFile) {
    ClassReader reader = new ClassReader(classFile);
    return without(reader, new ClassWriter(reader, 0));
  }

  /** Returns the class file as written by an agent that drops the attribute. */
  public static byte[] without(byte[] classFile) {
    return without(new ClassReader(classFile), new ClassWriter(0));
  }

  private static byte[] without(ClassReader reader, ClassWriter written) {
    reader.accept(
        new ClassVisitor(Opcodes.ASM9, written) {
          @Override
          public MethodVisitor visitMethod(
              int access, String name, String descriptor, String signature, String[] thrown) {
            return new MethodVisitor(
                Opcodes.ASM9, super.visitMethod(access, name, descriptor, signature, thrown)) {
              @Override
              public void visitParameter(String name, int access) {}
            };
          }
        },
        0);
    return written.toByteArray();
  }
}
