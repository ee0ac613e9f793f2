// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.stub.LoadedClass;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.BeforeClass;
import org.junit.Test;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** Methods that several owners select differently: each owner's set of probes works as if alone. */
public class SetsOfProbesTest {
  private static final String SHAPES = "io.jprobe.weave.Shapes";
  private static final List<String> CLASSES =
      List.of(SHAPES, SHAPES + "$Child", SHAPES + "$Greeting", SHAPES + "$1");
  private static final String PLAIN = "**#*";
  private static final String FILTERED = "**#* when duration >= 0ns every 2";

  @BeforeClass
  public static void bindFire() throws Exception {
    Woven.bindFire();
  }

  private static Map<String, byte[]> files(List<String> names) throws Exception {
    Map<String, byte[]> files = new LinkedHashMap<>();
    for (String name : names) {
      files.put(name, PublishedClass.classFile(name));
    }
    return files;
  }

  private static Map<TracedMethod, EnumSet<ProbeKind>> only(
      TracedClass traced, EnumSet<ProbeKind> kinds) {
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = new HashMap<>();
    for (TracedMethod method : traced.methods()) {
      EnumSet<ProbeKind> common = EnumSet.copyOf(kinds);
      common.retainAll(method.kinds());
      if (!common.isEmpty()) {
        wanted.put(method, common);
      }
    }
    return wanted;
  }

  private static void assertRunsTheSame(EnumSet<ProbeKind> kinds, String... owners)
      throws Exception {
    Map<String, byte[]> files = files(CLASSES);
    Woven woven = new Woven();
    Map<String, TracedClass> published =
        PublishedClass.publish(files, PublishedClass.ofOwners(List.of(owners)));
    for (Map.Entry<String, TracedClass> each : published.entrySet()) {
      TracedClass traced = each.getValue();
      ClassWeaver.Result result =
          new ClassWeaver().weave(traced, only(traced, kinds), files.get(each.getKey()));
      assertEquals(Map.of(), result.failures);
      woven.add(each.getKey(), result.classFile);
    }
    assertEquals(Shapes.run(), woven.loadClass(SHAPES).getMethod("run").invoke(null));
  }

  @Test
  public void everyShapeRunsTheSameWithSeveralSets() throws Exception {
    EnumSet<ProbeKind> all = EnumSet.allOf(ProbeKind.class);
    assertRunsTheSame(all, PLAIN, ClassWeaverTest.RICH);
    assertRunsTheSame(all, ClassWeaverTest.RICH, PLAIN);
    assertRunsTheSame(all, ClassWeaverTest.RICH, PLAIN, FILTERED, "**#*(t=thread)");
    for (ProbeKind kind : ProbeKind.values()) {
      assertRunsTheSame(EnumSet.of(kind), ClassWeaverTest.RICH, PLAIN, FILTERED);
    }
  }

  private static TracedClass publish(String name, byte[] classFile, String... owners)
      throws Exception {
    return PublishedClass.publish(Map.of(name, classFile), PublishedClass.ofOwners(List.of(owners)))
        .get(name);
  }

  private static long count(TracedMethod method, ProbeKind kind) {
    return method.gateWord(Gate.fired(kind)) + method.gateWord(Gate.filtered(kind));
  }

  @Test
  public void eachSetFiresAndCountsByItsOwnConditions() throws Exception {
    TracedClass traced =
        publish(
            SHAPES,
            PublishedClass.classFile(SHAPES),
            "**Shapes#aByte",
            "**Shapes#aByte(a=arg0) when arg0 > 1000",
            "**Shapes#aByte every 2");
    assertEquals(3, traced.methods().size());
    byte[] classFile =
        new ClassWeaver().weave(traced, traced.all(), PublishedClass.classFile(SHAPES)).classFile;
    Woven woven = new Woven();
    files(CLASSES).forEach(woven::add);
    woven.add(SHAPES, classFile);
    woven.loadClass(SHAPES).getMethod("run").invoke(null);
    TracedMethod every = traced.methods().get(0);
    long calls = every.gateWord(Gate.fired(ProbeKind.ENTRY));
    assertTrue(calls > 0);
    assertEquals(calls, every.gateWord(Gate.fired(ProbeKind.RETURN)));
    TracedMethod none = traced.methods().get(1);
    assertEquals(0, none.gateWord(Gate.fired(ProbeKind.RETURN)));
    TracedMethod half = traced.methods().get(2);
    assertEquals((calls + 1) / 2, half.gateWord(Gate.fired(ProbeKind.RETURN)));
    for (TracedMethod method : traced.methods()) {
      assertEquals(calls, count(method, ProbeKind.ENTRY));
      assertEquals(calls, count(method, ProbeKind.RETURN));
    }
  }

  /** Otherwise the duration of a short method would be that of the other owner's traps. */
  @Test
  public void anOuterSetDoesNotMeasureTheFiringsOfAnInnerOne() throws Exception {
    byte[] bytes = PublishedClass.classFile(SHAPES);
    for (String inner : List.of("**Shapes#aByte", "**Shapes#aByte(a=arg0) when arg0 > -9")) {
      TracedClass traced = publish(SHAPES, bytes, inner, "**Shapes#aByte every 2");
      TracedMethod outer = traced.methods().get(1);
      assertEquals(List.of(), skips(traced, Map.of(outer, outer.kinds()), bytes, outer));
      Map<TracedMethod, List<ProbeKind>> both = new HashMap<>();
      traced.methods().forEach(method -> both.put(method, method.kinds()));
      // The entry, each return and the throw probe of the inner set; no return is far from another.
      List<String> skips = skips(traced, both, bytes, outer);
      assertTrue(skips.toString(), skips.size() >= 3);
    }
  }

  private static List<String> skips(
      TracedClass traced,
      Map<TracedMethod, List<ProbeKind>> armed,
      byte[] bytes,
      TracedMethod method) {
    Map<TracedMethod, EnumSet<ProbeKind>> kinds = new HashMap<>();
    armed.forEach((one, some) -> kinds.put(one, EnumSet.copyOf(some)));
    byte[] woven = new ClassWeaver().weave(traced, kinds, bytes).classFile;
    return Instructions.of(woven, method)
        .lines()
        .filter(line -> line.contains("Fire.skip"))
        .collect(Collectors.toList());
  }

  @Test
  public void aSetThatLeavesRestoresTheCodeOfTheOthers() throws Exception {
    byte[] bytes = PublishedClass.classFile(SHAPES);
    TracedClass traced = publish(SHAPES, bytes, PLAIN, "**#*(t=thread)");
    List<TracedMethod> first = new ArrayList<>();
    Map<TracedMethod, EnumSet<ProbeKind>> armed = new HashMap<>();
    for (TracedMethod method : traced.methods()) {
      if (method.captures.isPlain) {
        first.add(method);
        armed.put(method, EnumSet.copyOf(method.kinds()));
      }
    }
    byte[] alone = new ClassWeaver().weave(traced, armed, bytes).classFile;
    TracedClass single = PublishedClass.publish(SHAPES, bytes, PLAIN);
    for (int i = 0; i < first.size(); i++) {
      TracedMethod method = single.methods().get(i);
      byte[] reference =
          new ClassWeaver()
              .weave(single, Map.of(method, EnumSet.copyOf(method.kinds())), bytes)
              .classFile;
      assertEquals(
          withoutAddresses(Instructions.of(reference, method)),
          withoutAddresses(Instructions.of(alone, first.get(i))));
    }
  }

  private static String withoutAddresses(String code) {
    return code.replaceAll("LDC \\d{9,}", "LDC address");
  }

  /** The newer set gives way: the older owner does not notice. */
  @Test
  public void aSetForWhichThereIsNoRoomFailsAlone() throws Exception {
    ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
    writer.visit(Opcodes.V11, Opcodes.ACC_PUBLIC, "Made", null, "java/lang/Object", null);
    MethodVisitor code =
        writer.visitMethod(Opcodes.ACC_PUBLIC | Opcodes.ACC_STATIC, "run", "()V", null, null);
    code.visitCode();
    for (int i = 0; i < 65_450; i++) {
      code.visitInsn(Opcodes.NOP);
    }
    code.visitInsn(Opcodes.RETURN);
    code.visitMaxs(0, 0);
    code.visitEnd();
    writer.visitEnd();
    byte[] bytes = writer.toByteArray();
    TracedClass traced = publish("Made", bytes, PLAIN, "**#*(t=thread.name)");
    ClassWeaver.Result result = new ClassWeaver().weave(traced, traced.all(), bytes);
    assertEquals(
        Map.of(traced.methods().get(1), "with the probes it would exceed 65535 bytes of bytecode"),
        result.failures);
    Woven woven = new Woven();
    woven.add("Made", result.classFile);
    woven.loadClass("Made").getMethod("run").invoke(null);
    assertEquals(1, traced.methods().get(0).gateWord(Gate.fired(ProbeKind.RETURN)));
  }

  /** All classes of the agent, of its tests, and of the libraries on the tests' class path. */
  private static Map<String, byte[]> corpus() throws Exception {
    Map<String, byte[]> corpus = new LinkedHashMap<>();
    for (String entry : System.getProperty("java.class.path").split(":")) {
      Path folder = Path.of(entry);
      if (Files.isDirectory(folder)) {
        try (Stream<Path> files = Files.walk(folder)) {
          for (Path file :
              files.filter(one -> one.toString().endsWith(".class")).collect(Collectors.toList())) {
            String name = folder.relativize(file).toString().replace('/', '.');
            corpus.put(name.substring(0, name.length() - 6), Files.readAllBytes(file));
          }
        }
      }
    }
    corpus.keySet().removeIf(name -> name.startsWith("java.") || name.endsWith("-info"));
    return corpus;
  }

  @Test
  public void theVerifierAcceptsTwoSetsInEveryMethodOfTheAgentAndItsTests() throws Exception {
    Map<String, byte[]> corpus = corpus();
    assertTrue(corpus.size() + " classes", corpus.size() > 300);
    Woven woven = new Woven();
    int methods = 0;
    Map<String, TracedClass> published =
        PublishedClass.publish(
            corpus,
            PublishedClass.ofOwners(
                List.of("**#*(t=thread.name, e=exception.message) when thread != null", PLAIN)));
    for (Map.Entry<String, TracedClass> each : published.entrySet()) {
      TracedClass traced = each.getValue();
      ClassWeaver.Result result =
          new ClassWeaver().weave(traced, traced.all(), corpus.get(each.getKey()));
      assertEquals(each.getKey(), Map.of(), result.failures);
      woven.add(each.getKey(), result.classFile);
      methods += traced.methods().size();
    }
    for (String name : published.keySet()) {
      LoadedClass.link(woven.loadClass(name));
      assertTrue(name, LoadedClass.isLinked(woven.loadClass(name)));
    }
    assertTrue(methods + " sets", methods > 4_000);
  }
}
