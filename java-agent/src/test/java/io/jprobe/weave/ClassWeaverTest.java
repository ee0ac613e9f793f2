// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.BeforeClass;
import org.junit.Test;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** Runs woven classes in this JVM, with its verifier and real stubs. */
public class ClassWeaverTest {
  private static final List<String> SHAPES =
      List.of("Shapes", "Shapes$Child", "Shapes$Greeting", "Shapes$1");

  @BeforeClass
  public static void bindFire() throws Exception {
    Woven.bindFire();
  }

  private static ClassWeaver.Result weave(String name, byte[] bytes, EnumSet<ProbeKind> kinds)
      throws Exception {
    return weave(name, bytes, kinds, "**#*");
  }

  private static ClassWeaver.Result weave(
      String name, byte[] bytes, EnumSet<ProbeKind> kinds, String selectors) throws Exception {
    TracedClass traced = PublishedClass.publish(name, bytes, selectors);
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = new HashMap<>();
    for (TracedMethod method : traced.methods()) {
      EnumSet<ProbeKind> common = EnumSet.copyOf(kinds);
      common.retainAll(method.kinds());
      if (!common.isEmpty()) {
        wanted.put(method, common);
      }
    }
    return new ClassWeaver().weave(traced, wanted, bytes);
  }

  private static void assertRunsTheSame(EnumSet<ProbeKind> kinds) throws Exception {
    assertRunsTheSame(kinds, "**#*");
  }

  private static void assertRunsTheSame(EnumSet<ProbeKind> kinds, String selectors)
      throws Exception {
    Woven woven = new Woven();
    for (String shape : SHAPES) {
      String name = "io.jprobe.weave." + shape;
      ClassWeaver.Result result = weave(name, PublishedClass.classFile(name), kinds, selectors);
      assertEquals(Map.of(), result.failures);
      woven.add(name, result.classFile);
    }
    Object said = woven.loadClass("io.jprobe.weave.Shapes").getMethod("run").invoke(null);
    assertEquals(Shapes.run(), said);
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

  /** Selectors for every method of Shapes: paths from all roots and conditions of all kinds. */
  static final String RICH =
      "**Shapes#new(int)(arg0,this.base,this.said.size()) when arg0 > -100 or exception !="
          + " null;**Child#new(arg0.length(),this.base,exception.message) when arg0 !="
          + " 'x';**Shapes#aByte(arg0,return,this.said.size()) when return !="
          + " 3;**Shapes#aShort(return,t=thread.name) when return > 0 and not (duration >"
          + " 1s);**Shapes#aChar(c=arg0) when arg0 == 'x' || arg0 =="
          + " 'y';**Shapes#aLong(arg2.length(),arg1,arg3) when arg1 > arg3 && arg2 =="
          + " 'three';**Shapes#aFloat(arg0,return) when arg0 > 1.5 || return <"
          + " 2;**Shapes#aDouble(arg0,arg1,return) when arg1 && arg0 >="
          + " 5;**Shapes#aString(arg0.length(),return.length()) when arg0 == null or return !="
          + " null;**Shapes#anArray(arg0.length,arg1.toString(),return.length) every"
          + " 2;**Shapes#locked(this.said.size(),arg0,exception.class.name) when arg0 < 0 or arg0"
          + " == 3;"
          + "**Shapes#run(v=thread.virtual,return.length());**Shapes#reuses(arg0.toString().length())"
          + " when return == '42';**Shapes#attempt(arg0,return) when exception == 'java.lang.Error'"
          + " or return != null;**Greeting#greet(n=arg0.length(),this.toString()) at most 5/s;"
          + "**#*(thread.name)";

  @Test
  public void everyShapeRunsTheSameWithPathsAndConditions() throws Exception {
    assertRunsTheSame(EnumSet.allOf(ProbeKind.class), RICH);
    for (ProbeKind kind : ProbeKind.values()) {
      assertRunsTheSame(EnumSet.of(kind), RICH);
    }
  }

  @Test
  public void valuesOnTheStackAtAReturnAreDropped() throws Exception {
    byte[] bytes =
        classWith(
            Opcodes.V11,
            code -> {
              code.visitInsn(Opcodes.LCONST_1);
              code.visitInsn(Opcodes.ICONST_1);
              code.visitInsn(Opcodes.RETURN);
            });
    ClassWeaver.Result result =
        weave("Made", bytes, EnumSet.allOf(ProbeKind.class), "**#run(thread.name)");
    assertEquals(Map.of(), result.failures);
    Woven woven = new Woven();
    woven.add("Made", result.classFile);
    woven.loadClass("Made").getMethod("run").invoke(null);
  }

  @Test
  public void methodsThatAreNotArmedKeepTheirBytes() throws Exception {
    String name = "io.jprobe.weave.Shapes";
    byte[] bytes = PublishedClass.classFile(name);
    TracedClass traced = PublishedClass.publish(name, bytes);
    TracedMethod loop =
        traced.methods().stream().filter(m -> m.name.equals("loop")).findFirst().orElseThrow();
    byte[] woven =
        new ClassWeaver()
            .weave(traced, Map.of(loop, EnumSet.allOf(ProbeKind.class)), bytes)
            .classFile;
    List<String> changed =
        traced.methods().stream()
            .filter(m -> !Instructions.of(bytes, m).equals(Instructions.of(woven, m)))
            .map(m -> m.name)
            .collect(Collectors.toList());
    assertEquals(List.of("loop"), changed);
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

  /** Returns a class with one static method "run()V" whose code the body writes. */
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
              for (int i = 0; i < 65_520; i++) {
                code.visitInsn(Opcodes.NOP);
              }
              code.visitInsn(Opcodes.RETURN);
            });
    ClassWeaver.Result result = weave("Made", bytes, EnumSet.allOf(ProbeKind.class));
    assertEquals(1, result.failures.size());
    assertTrue(result.failures.values().toString().contains("65535 bytes"));
  }

  @Test
  public void aMethodWithoutRoomForMoreVariablesFailsAlone() throws Exception {
    byte[] bytes =
        classWith(
            Opcodes.V11,
            code -> {
              code.visitInsn(Opcodes.ICONST_0);
              code.visitVarInsn(Opcodes.ISTORE, 65_533);
              code.visitInsn(Opcodes.RETURN);
            });
    ClassWeaver.Result result = weave("Made", bytes, EnumSet.allOf(ProbeKind.class));
    assertEquals(
        "[its bytecode cannot be analyzed: the probes would take more than 65535 slots of its"
            + " frame]",
        result.failures.values().toString());
    Woven woven = new Woven();
    woven.add("Made", result.classFile);
    woven.loadClass("Made").getMethod("run").invoke(null);
  }

  @Test
  public void aFullConstantPoolLimitsTheNumberOfWovenMethods() throws Exception {
    ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
    writer.visit(Opcodes.V11, Opcodes.ACC_PUBLIC, "Made", null, "java/lang/Object", null);
    int methods = 16;
    for (int i = 0; i < methods; i++) {
      MethodVisitor code =
          writer.visitMethod(Opcodes.ACC_PUBLIC | Opcodes.ACC_STATIC, "run" + i, "()V", null, null);
      code.visitCode();
      code.visitInsn(Opcodes.RETURN);
      code.visitMaxs(0, 0);
      code.visitEnd();
    }
    // Entries that weaving always needs, and a gate's address (two entries) for each of several
    // methods.
    for (int i = 0; writer.newConst(i) < 65_535 - 40; i++) {}
    byte[] bytes = writer.toByteArray();
    ClassWeaver.Result result = weave("Made", bytes, EnumSet.of(ProbeKind.RETURN));
    assertEquals(
        "the constant pool of its class is full",
        result.failures.values().stream().distinct().collect(Collectors.joining()));
    assertTrue(result.failures.size() + " failed", result.failures.size() < methods);
    Woven woven = new Woven();
    woven.add("Made", result.classFile);
    for (int i = 0; i < methods; i++) {
      woven.loadClass("Made").getMethod("run" + i).invoke(null);
    }
  }

  @Test
  public void returnsThatAreFarFromTheEndAreWoven() throws Exception {
    byte[] bytes =
        classWith(
            Opcodes.V11,
            code -> {
              Label far = new Label();
              code.visitMethodInsn(
                  Opcodes.INVOKESTATIC,
                  "java/lang/Thread",
                  "currentThread",
                  "()Ljava/lang/Thread;",
                  false);
              code.visitInsn(Opcodes.DUP);
              code.visitVarInsn(Opcodes.ASTORE, 0);
              code.visitJumpInsn(Opcodes.IFNULL, far);
              code.visitInsn(Opcodes.RETURN);
              code.visitLabel(far);
              code.visitFrame(Opcodes.F_NEW, 0, new Object[0], 0, new Object[0]);
              for (int i = 0; i < 32_700; i++) {
                code.visitInsn(Opcodes.NOP);
              }
              code.visitInsn(Opcodes.RETURN);
            });
    ClassWeaver.Result result =
        weave("Made", bytes, EnumSet.allOf(ProbeKind.class), "**#run(thread.name)");
    assertEquals(Map.of(), result.failures);
    Woven woven = new Woven();
    woven.add("Made", result.classFile);
    woven.loadClass("Made").getMethod("run").invoke(null);
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
    Woven woven = new Woven();
    woven.add("Made", result.classFile);
    woven.loadClass("Made").getMethod("run").invoke(null);
  }
}
