// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.Set;
import org.junit.Test;
import org.objectweb.asm.AnnotationVisitor;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

public class ClassFileTest {
  /** Returns a class with an annotation of retention CLASS on itself and on its first method. */
  private static byte[] annotated(String... methods) {
    ClassWriter writer = new ClassWriter(0);
    writer.visit(Opcodes.V11, Opcodes.ACC_INTERFACE, "a/B", null, "java/lang/Object", null);
    writer.visitAnnotation("La/OnClass;", false).visitEnd();
    for (String name : methods) {
      MethodVisitor method = writer.visitMethod(Opcodes.ACC_ABSTRACT, name, "()V", null, null);
      if (name.equals(methods[0])) {
        method.visitAnnotation("La/OnMethod;", false).visitEnd();
      }
      method.visitEnd();
    }
    writer.visitEnd();
    return writer.toByteArray();
  }

  /** Returns the class file as the JVM writes it of a loaded class. */
  private static byte[] loaded(byte[] classFile) {
    ClassReader reader = new ClassReader(classFile);
    // Keeps the constant pool, as the JVM does.
    ClassWriter writer = new ClassWriter(reader, 0);
    reader.accept(
        new ClassVisitor(Opcodes.ASM9, writer) {
          @Override
          public AnnotationVisitor visitAnnotation(String descriptor, boolean visible) {
            return null;
          }

          @Override
          public MethodVisitor visitMethod(
              int access, String name, String descriptor, String signature, String[] thrown) {
            return new MethodVisitor(
                Opcodes.ASM9, super.visitMethod(access, name, descriptor, signature, thrown)) {
              @Override
              public AnnotationVisitor visitAnnotation(String descriptor, boolean visible) {
                return null;
              }
            };
          }
        },
        0);
    return writer.toByteArray();
  }

  @Test
  public void annotationsThatTheJvmOmitsComeFromTheOriginal() {
    byte[] classFile = annotated("m", "n");
    ClassFile original = ClassFile.read(classFile);
    ClassFile file = ClassFile.read(loaded(classFile));
    assertFalse(original.lacksInvisibleAnnotations(classFile));
    assertTrue(file.lacksInvisibleAnnotations(loaded(classFile)));
    assertEquals(Set.of(), file.annotations);

    ClassFile complete = file.withAnnotationsOf(original);
    assertEquals(Set.of("a.OnClass"), complete.annotations);
    assertEquals(Set.of("a.OnMethod"), complete.methods.get(0).annotations);
    assertEquals(Set.of(), complete.methods.get(1).annotations);
  }

  @Test
  public void anotherVersionOfTheClassIsNotItsOriginal() {
    ClassFile file = ClassFile.read(loaded(annotated("m", "n")));
    assertNull(file.withAnnotationsOf(ClassFile.read(annotated("m", "other"))));
    // Another agent has added n.
    assertEquals(
        Set.of("a.OnMethod"),
        file.withAnnotationsOf(ClassFile.read(annotated("m"))).methods.get(0).annotations);
  }
}
