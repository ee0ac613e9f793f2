// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.stapsdt.FireBinding;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.BeforeClass;
import org.junit.Test;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** Woven classes run here, in the JVM whose verifier judges them, and call real stubs. */
public class ClassWeaverTest {
  private static final List<String> SHAPES =
      List.of("Shapes", "Shapes$Child", "Shapes$Greeting", "Shapes$1");

  @BeforeClass
  public static void bindFire() throws Exception {
    PublishedClass.loadNative();
    FireBinding.install(PublishedClass.classFile("java.jprobe.Fire"), 128);
  }

  /** Defines classes from bytes, and everything else as the tests' loader does. */
  private static final class Definer extends ClassLoader {
    private final Map<String, byte[]> classes = new HashMap<>();

    Definer() {
      super(ClassWeaverTest.class.getClassLoader());
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      synchronized (getClassLoadingLock(name)) {
        Class<?> loaded = findLoadedClass(name);
        byte[] bytes = classes.get(name);
        if (loaded == null && bytes != null) {
          loaded = defineClass(name, bytes, 0, bytes.length);
        }
        return loaded != null ? loaded : super.loadClass(name, resolve);
      }
    }
  }

  private static ClassWeaver.Result weave(String name, byte[] bytes, EnumSet<ProbeKind> kinds)
      throws Exception {
    TracedClass traced = PublishedClass.publish(name, bytes);
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = new HashMap<>();
    for (TracedMethod method : traced.methods) {
      EnumSet<ProbeKind> common = EnumSet.copyOf(kinds);
      common.retainAll(method.kinds());
      wanted.put(method, common);
    }
    return new ClassWeaver().weave(traced, wanted, bytes);
  }

  private static void assertRunsTheSame(EnumSet<ProbeKind> kinds) throws Exception {
    Definer definer = new Definer();
    for (String shape : SHAPES) {
      String name = "io.jprobe.weave." + shape;
      ClassWeaver.Result result = weave(name, PublishedClass.classFile(name), kinds);
      assertEquals(Map.of(), result.failures);
      definer.classes.put(name, result.classFile);
    }
    Object woven = definer.loadClass("io.jprobe.weave.Shapes").getMethod("run").invoke(null);
    assertEquals(Shapes.run(), woven);
  }

  @Test
  public void everyShapeRunsTheSameWithAllProbes() throws Exception {
    assertRunsTheSame(EnumSet.allOf(ProbeKind.class));
  }

  @Test
  public void everyShapeRunsTheSameWithEachProbeAlone() throws Exception {
    for (ProbeKind kind : ProbeKind.values()) {
      assertRunsTheSame(EnumSet.of(kind));
    }
  }

  @Test
  public void methodsThatAreNotArmedKeepTheirBytes() throws Exception {
    String name = "io.jprobe.weave.Shapes";
    byte[] bytes = PublishedClass.classFile(name);
    TracedClass traced = PublishedClass.publish(name, bytes);
    TracedMethod loop =
        traced.methods.stream().filter(m -> m.name.equals("loop")).findFirst().orElseThrow();
    byte[] woven =
        new ClassWeaver()
            .weave(traced, Map.of(loop, EnumSet.allOf(ProbeKind.class)), bytes)
            .classFile;
    List<String> changed =
        traced.methods.stream()
            .filter(m -> !codeOf(bytes, m).equals(codeOf(woven, m)))
            .map(m -> m.name)
            .collect(Collectors.toList());
    assertEquals(List.of("loop"), changed);
  }

  /** A method's instructions as text. */
  private static String codeOf(byte[] classFile, TracedMethod wanted) {
    org.objectweb.asm.util.Textifier text = new org.objectweb.asm.util.Textifier();
    new ClassReader(classFile)
        .accept(
            new ClassVisitor(Opcodes.ASM9) {
              @Override
              public MethodVisitor visitMethod(
                  int access, String name, String descriptor, String signature, String[] thrown) {
                return (name + descriptor).equals(wanted.toString())
                    ? new org.objectweb.asm.util.TraceMethodVisitor(text)
                    : null;
              }
            },
            0);
    return text.getText().toString();
  }

  @Test
  public void weavingTwiceGivesTheSameBytes() throws Exception {
    String name = "io.jprobe.weave.Shapes";
    byte[] bytes = PublishedClass.classFile(name);
    TracedClass traced = PublishedClass.publish(name, bytes);
    ClassWeaver weaver = new ClassWeaver();
    assertArrayEquals(
        weaver.weave(traced, traced.all(), bytes).classFile,
        weaver.weave(traced, traced.all(), bytes).classFile);
  }

  /** A class with one static method "run()V", and what the body writes into it. */
  private static byte[] classWith(int version, java.util.function.Consumer<MethodVisitor> body) {
    ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
    writer.visit(version, Opcodes.ACC_PUBLIC, "Made", null, "java/lang/Object", null);
    MethodVisitor code =
        writer.visitMethod(Opcodes.ACC_PUBLIC | Opcodes.ACC_STATIC, "run", "()V", null, null);
    code.visitCode();
    body.accept(code);
    code.visitMaxs(0, 0);
    code.visitEnd();
    writer.visitEnd();
    return writer.toByteArray();
  }

  @Test
  public void aMethodThatWouldBecomeTooLargeFailsAlone() throws Exception {
    byte[] bytes =
        classWith(
            Opcodes.V11,
            code -> {
              for (int i = 0; i < 65_500; i++) {
                code.visitInsn(Opcodes.NOP);
              }
              code.visitInsn(Opcodes.RETURN);
            });
    ClassWeaver.Result result = weave("Made", bytes, EnumSet.allOf(ProbeKind.class));
    assertEquals(1, result.failures.size());
    assertTrue(result.failures.values().toString().contains("65535 bytes"));
  }

  @Test
  public void classFilesWithoutFramesAndWithSubroutinesAreWoven() throws Exception {
    byte[] bytes =
        classWith(
            Opcodes.V1_4,
            code -> {
              Label subroutine = new Label();
              code.visitJumpInsn(Opcodes.JSR, subroutine);
              code.visitInsn(Opcodes.RETURN);
              code.visitLabel(subroutine);
              code.visitVarInsn(Opcodes.ASTORE, 0);
              code.visitVarInsn(Opcodes.RET, 0);
            });
    ClassWeaver.Result result = weave("Made", bytes, EnumSet.allOf(ProbeKind.class));
    assertEquals(Map.of(), result.failures);
    Definer definer = new Definer();
    definer.classes.put("Made", result.classFile);
    definer.loadClass("Made").getMethod("run").invoke(null);
  }
}
