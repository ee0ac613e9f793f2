// SPDX-License-Identifier: Apache-2.0
package io.jprobe.classfile;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

public class MethodParametersTest {
  private static final byte[] WITH = NamedParameters.classFile();
  private static final byte[] HIDDEN = NamedParameters.hidden(WITH);

  /** JVMS 4.1: indices are below the count, which has two bytes. */
  private static final int MOST_ENTRIES = 0xfffe;

  /** Returns "method name flags" of each parameter that ASM finds. */
  private static List<String> parameters(byte[] classFile) {
    List<String> found = new ArrayList<>();
    new ClassReader(classFile)
        .accept(
            new ClassVisitor(Opcodes.ASM9) {
              @Override
              public MethodVisitor visitMethod(
                  int access, String method, String descriptor, String signature, String[] thrown) {
                return new MethodVisitor(Opcodes.ASM9) {
                  @Override
                  public void visitParameter(String name, int access) {
                    found.add(method + " " + name + " " + access);
                  }
                };
              }
            },
            0);
    return found;
  }

  /** Returns the bytes of each method after the number of its attributes. */
  private static List<byte[]> methods(byte[] classFile) {
    List<byte[]> methods = new ArrayList<>();
    MethodTable table = new MethodTable(new ClassReader(classFile));
    while (table.next()) {
      methods.add(Arrays.copyOfRange(classFile, table.attributeCount() + 2, table.end()));
    }
    return methods;
  }

  private static byte[] tail(byte[] classFile) {
    MethodTable table = new MethodTable(new ClassReader(classFile));
    int end = 0;
    while (table.next()) {
      end = table.end();
    }
    return Arrays.copyOfRange(classFile, end, classFile.length);
  }

  @Test
  public void missingAttributesAreAddedToAClassFile() {
    List<String> all = parameters(WITH);
    assertEquals(2 + 3 + 2 + 1 + 1 + 1 + 1 + 254 + 1, all.size());
    assertTrue(all.contains("plain time " + Opcodes.ACC_FINAL));
    assertTrue(all.contains("unnamed null " + Opcodes.ACC_MANDATED));
    MethodParameters parameters = MethodParameters.of(WITH);
    for (byte[] lacking : List.of(HIDDEN, NamedParameters.without(WITH))) {
      assertEquals(List.of(), parameters(lacking));
      assertTrue(MethodParameters.of(lacking).isEmpty());
      byte[] complete = parameters.addTo(lacking);
      assertEquals(all, parameters(complete));
      assertEquals(parameters, MethodParameters.of(complete));
    }
    assertNotEquals(MethodParameters.NONE, parameters);
  }

  @Test
  public void nothingElseOfTheClassFileIsChanged() {
    byte[] complete = MethodParameters.of(WITH).addTo(HIDDEN);
    int header = new ClassReader(HIDDEN).header;
    // The constant pool that the JVM returns contains all required entries.
    assertArrayEquals(Arrays.copyOf(HIDDEN, header), Arrays.copyOf(complete, header));
    List<byte[]> before = methods(HIDDEN);
    List<byte[]> after = methods(complete);
    assertEquals(before.size(), after.size());
    int longer = 0;
    for (int i = 0; i < before.size(); i++) {
      byte[] method = before.get(i);
      assertArrayEquals(method, Arrays.copyOf(after.get(i), method.length));
      longer += after.get(i).length > method.length ? 1 : 0;
    }
    assertEquals(9, longer);
    assertArrayEquals(tail(HIDDEN), tail(complete));
    assertArrayEquals(NamedParameters.without(HIDDEN), NamedParameters.without(complete));
  }

  @Test
  public void aCompleteClassFileIsUnchanged() {
    MethodParameters parameters = MethodParameters.of(WITH);
    assertSame(WITH, parameters.addTo(WITH));
    assertSame(HIDDEN, MethodParameters.NONE.addTo(HIDDEN));
    assertSame(HIDDEN, MethodParameters.of(HIDDEN).addTo(HIDDEN));
    ClassWriter other = new ClassWriter(0);
    other.visit(Opcodes.V11, 0, "Other", null, "java/lang/Object", null);
    other.visitMethod(Opcodes.ACC_NATIVE, "plain", "(JI)V", null, null).visitEnd();
    byte[] stranger = other.toByteArray();
    assertSame(stranger, parameters.addTo(stranger));
  }

  @Test
  public void aMethodThatHasTheAttributeKeepsItsOwn() {
    ClassWriter redefined = new ClassWriter(0);
    redefined.visit(Opcodes.V11, 0, "com/acme/Named", null, "java/lang/Object", null);
    redefined
        .visitMethod(Opcodes.ACC_NATIVE, "annotated", "(I)V", null, null)
        .visitParameter("renamed", 0);
    redefined.visitMethod(Opcodes.ACC_NATIVE, "throwing", "(I)V", null, null).visitEnd();
    byte[] complete = MethodParameters.of(WITH).addTo(redefined.toByteArray());
    assertEquals(List.of("annotated renamed 0", "throwing by 0"), parameters(complete));
  }

  @Test
  public void aFullConstantPoolIsRejected() {
    ClassWriter full = new ClassWriter(0);
    full.visit(Opcodes.V11, 0, "Full", null, "java/lang/Object", null);
    full.visitMethod(Opcodes.ACC_NATIVE, "plain", "(IJ)V", null, null).visitEnd();
    // Two entries are free, and three texts are missing.
    for (int last = 0, i = 0; last < MOST_ENTRIES - 2; i++) {
      last = full.newUTF8("filler " + i);
    }
    byte[] classFile = full.toByteArray();
    assertThrows(IllegalArgumentException.class, () -> MethodParameters.of(WITH).addTo(classFile));
  }
}
