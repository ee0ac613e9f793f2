// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.BeforeClass;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Compares the woven bytecode of a dozen shapes with src/test/resources/golden. After an intended
 * change, rewrite the files with {@code gradle test -PupdateGolden} and review them.
 */
@RunWith(Parameterized.class)
public class GoldenTest {
  private static final String SHAPES = "io.jprobe.weave.Shapes";

  @Parameterized.Parameters(name = "{0}")
  public static List<Object[]> shapes() {
    return List.of(
        shape("void-static-all", "nothing", EnumSet.allOf(ProbeKind.class)),
        shape("int-entry-alone", "loop", EnumSet.of(ProbeKind.ENTRY)),
        shape("byte-return-alone", "aByte", EnumSet.of(ProbeKind.RETURN)),
        shape("long-return-throw", "aLong", EnumSet.of(ProbeKind.RETURN, ProbeKind.THROW)),
        shape("double-throw-alone", "aDouble", EnumSet.of(ProbeKind.THROW)),
        shape("string-all", "aString", EnumSet.allOf(ProbeKind.class)),
        shape("array-all", "anArray", EnumSet.allOf(ProbeKind.class)),
        shape("finally-return-throw", "guarded", EnumSet.of(ProbeKind.RETURN, ProbeKind.THROW)),
        shape("synchronized-all", "locked", EnumSet.allOf(ProbeKind.class)),
        shape("never-returns-all", "endless", EnumSet.allOf(ProbeKind.class)),
        shape("constructor-all", "new(int)", EnumSet.allOf(ProbeKind.class)),
        shape("twelve-arguments-entry", "eleven", EnumSet.of(ProbeKind.ENTRY)),
        shape("threshold-return", "aLong when duration > 5ms", EnumSet.of(ProbeKind.RETURN)),
        shape("path-entry", "aString(length=arg0.length())", EnumSet.of(ProbeKind.ENTRY)),
        shape("path-return", "anArray(return.length,arg0)", EnumSet.of(ProbeKind.RETURN)),
        shape("element-entry", "anArray(arg0[1])", EnumSet.of(ProbeKind.ENTRY)),
        shape(
            "cast-entry", "anArray(((java.util.Map) arg1).get('id'))", EnumSet.of(ProbeKind.ENTRY)),
        shape("static-entry", "nothing(size=java.lang.Byte.SIZE)", EnumSet.of(ProbeKind.ENTRY)),
        shape("object-condition", "anArray when arg1 == 'x'", EnumSet.of(ProbeKind.ENTRY)),
        shape("condition-return", "aByte when arg0 > 3", EnumSet.of(ProbeKind.RETURN)),
        shape("stack-entry-return", "aByte(stack(16))", EnumSet.allOf(ProbeKind.class)),
        shape("late-condition", "aByte when return == 3", EnumSet.allOf(ProbeKind.class)));
  }

  private static Object[] shape(String name, String selector, EnumSet<ProbeKind> kinds) {
    return new Object[] {name, "**Shapes#" + selector, kinds};
  }

  @BeforeClass
  public static void bindFire() throws Exception {
    Woven.bindFire();
  }

  private final String name;
  private final String selector;
  private final EnumSet<ProbeKind> kinds;

  public GoldenTest(String name, String selector, EnumSet<ProbeKind> kinds) {
    this.name = name;
    this.selector = selector;
    this.kinds = kinds;
  }

  @Test
  public void theWovenCodeEqualsTheGoldenFiles() throws Exception {
    byte[] bytes = PublishedClass.classFile(SHAPES);
    TracedClass traced = PublishedClass.publish(SHAPES, bytes, selector);
    TracedMethod method = traced.methods().get(0);
    EnumSet<ProbeKind> armed = EnumSet.copyOf(kinds);
    armed.retainAll(method.kinds());
    byte[] woven = new ClassWeaver().weave(traced, Map.of(method, armed), bytes).classFile;
    String text =
        String.format(
            "%s, %s\n%d bytes of code, %d of them injected\n\n%s",
            selector,
            armed,
            sizeOf(woven, method),
            sizeOf(woven, method) - sizeOf(bytes, method),
            withNames(Instructions.of(woven, method), traced, method));
    Path golden = new File("src/test/resources/golden", name + ".txt").toPath();
    if (Boolean.getBoolean("golden.update")) {
      Files.writeString(golden, text);
    }
    assertEquals(Files.readString(golden), text);
  }

  @Test
  public void methodsWithoutPathsStayBelowTheInliningLimitOfWarmMethods() throws Exception {
    byte[] bytes = PublishedClass.classFile(SHAPES);
    TracedClass traced = PublishedClass.publish(SHAPES, bytes, "**Shapes#nothing");
    TracedMethod method = traced.methods().get(0);
    byte[] woven =
        new ClassWeaver()
            .weave(traced, Map.of(method, EnumSet.of(ProbeKind.RETURN)), bytes)
            .classFile;
    // HotSpot's MaxInlineSize, in bytes.
    assertTrue(sizeOf(woven, method) <= 35);
  }

  /** Replaces addresses, which differ in each run. */
  private static String withNames(String code, TracedClass traced, TracedMethod method) {
    Map<Long, String> names = new LinkedHashMap<>();
    for (ProbeKind kind : method.kinds()) {
      names.put(method.probe(kind), "(probe of " + kind + ")");
    }
    names.put(method.gate(), "(gate)");
    String named = code;
    for (Map.Entry<Long, String> entry : names.entrySet()) {
      named = named.replace("LDC " + entry.getKey(), "LDC " + entry.getValue());
    }
    return named;
  }

  /** Returns the size of a method's code in bytes. */
  private static int sizeOf(byte[] classFile, TracedMethod wanted) {
    Label end = new Label();
    ClassReader reader = new ClassReader(classFile);
    ClassWriter writer = new ClassWriter(reader, 0);
    reader.accept(
        new ClassVisitor(Opcodes.ASM9, writer) {
          @Override
          public MethodVisitor visitMethod(
              int access, String name, String descriptor, String signature, String[] thrown) {
            MethodVisitor next = super.visitMethod(access, name, descriptor, signature, thrown);
            if (!(name + descriptor).equals(wanted.toString())) {
              return next;
            }
            return new MethodVisitor(Opcodes.ASM9, next) {
              @Override
              public void visitMaxs(int maxStack, int maxLocals) {
                super.visitLabel(end);
                super.visitMaxs(maxStack, maxLocals);
              }
            };
          }
        },
        0);
    return end.getOffset();
  }
}
