// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import static io.jprobe.capture.Typing.assertMistake;
import static io.jprobe.capture.Typing.path;
import static io.jprobe.capture.Typing.steps;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.TypedPath.Root;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.classfile.ClassFile;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import java.net.URL;
import org.junit.Test;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Opcodes;

public class PathTyperTest {
  private static final String UNREACHED = "no field or getter that a path can read has that name";
  private static final String UNCALLED = "no method that a path can call has that name";

  /** Asserts an error at the step of this name, after the first argument. */
  private static void assertNothing(String path, String marked, String problem) {
    assertMistake("travel", "(it=" + path + ")", marked, problem);
  }

  // ---- properties ----

  @Test
  public void aPropertyIsAFieldOrOtherwiseAGetter() throws Exception {
    assertEquals("FIELD Properties.x: int", steps("travel", "properties.x"));
    assertEquals("METHOD Properties.getZ: int", steps("travel", "properties.z"));
    assertEquals("METHOD Properties.getCount: int", steps("travel", "properties.count"));
    assertEquals("METHOD Properties.isOpen: boolean", steps("travel", "properties.open"));
  }

  @Test
  public void withParenthesesItIsTheMethodOfThatName() throws Exception {
    assertEquals("METHOD Properties.x: long", steps("travel", "properties.x()"));
    assertEquals("METHOD Properties.getX: long", steps("travel", "properties.getX()"));
    assertEquals("METHOD Properties.z: java.lang.String", steps("travel", "properties.z()"));
    assertNothing(
        "properties.count()",
        "count",
        "io.jprobe.capture.Journey$Properties has no 'count': " + UNCALLED);
  }

  @Test
  public void aMethodThatIsNoGetterIsWrittenAsACall() {
    assertMistake(
        "travel",
        "(it=other.places().size)",
        "size",
        "java.util.ArrayList has no field size and no getter getSize() or isSize(); write .size()"
            + " to call the method, whose code then runs in the traced thread");
    assertMistake(
        "travel",
        " when this.total > 5",
        "total >",
        "io.jprobe.capture.Journey has no field total and no getter getTotal() or isTotal(); write"
            + " .total() to call the method, whose code then runs in the traced thread");
  }

  /** A record of the JDK, whose field is not accessible. */
  @Test
  public void aComponentOfARecordIsAProperty() throws Exception {
    ClassWriter record = new ClassWriter(0);
    int isPublic = Opcodes.ACC_PUBLIC;
    record.visit(Opcodes.V17, isPublic, "java/util/Place", null, "java/lang/Record", null);
    record.visitRecordComponent("x", "I", null).visitEnd();
    record.visitField(Opcodes.ACC_PRIVATE | Opcodes.ACC_FINAL, "x", "I", null, null).visitEnd();
    for (String name : new String[] {"x", "distance"}) {
      record.visitMethod(isPublic | Opcodes.ACC_NATIVE, name, "()I", null, null).visitEnd();
    }
    ClassWriter host = new ClassWriter(0);
    host.visit(Opcodes.V17, isPublic, "Host", null, "java/lang/Object", null);
    host.visitMethod(
            Opcodes.ACC_STATIC | Opcodes.ACC_NATIVE, "go", "(Ljava/util/Place;)V", null, null)
        .visitEnd();
    ClassFiles files = new ClassFiles(null, new ApplicationCalls());
    files.add(ClassFile.read(record.toByteArray()));
    ClassFile read = ClassFile.read(host.toByteArray());

    Captures captures =
        Captures.of(Selector.parse("Host#go(x=arg0.x)"), read, read.methods.get(0), files);
    Step step = captures.values(ProbeKind.ENTRY).get(0).path.steps.get(0);
    assertEquals(Step.Kind.METHOD, step.kind);
    assertEquals("x", step.name);
    SelectorException mistake =
        assertThrows(
            SelectorException.class,
            () ->
                Captures.of(
                    Selector.parse("Host#go(x=arg0.distance)"), read, read.methods.get(0), files));
    assertTrue(mistake.getMessage(), mistake.getMessage().contains("write .distance() to call"));
  }

  @Test
  public void membersThatAreStaticOrVoidOrHaveArgumentsAreNoProperties() {
    for (String name : new String[] {"nowhere", "still", "nothing", "of"}) {
      assertNothing(
          "properties." + name,
          name,
          "io.jprobe.capture.Journey$Properties has no '" + name + "': " + UNREACHED);
    }
  }

  @Test
  public void theMethodThatWasWrittenCountsAndNotItsBridge() throws Exception {
    assertEquals(
        "METHOD Copied.copy: io.jprobe.capture.Journey$Copied", steps("travel", "copied.copy()"));
  }

  // ---- access ----

  @Test
  public void fieldsAreReadWhateverTheirAccess() throws Exception {
    assertEquals("FIELD Journey.legs: int", steps("travel", "this.legs"));
    assertEquals("FIELD Traveller.name: java.lang.String", steps("travel", "other.name"));
    assertEquals("HIDDEN_FIELD Traveller.miles: long", steps("travel", "other.miles"));
    assertEquals("HIDDEN_FIELD Traveller.luggage: int", steps("travel", "other.luggage"));
    assertEquals(
        "HIDDEN_FIELD Traveller.passport: java.lang.String", steps("travel", "other.passport"));
    assertEquals(
        "HIDDEN_FIELD Traveller.passport: java.lang.String", steps("travel", "this.passport"));
    assertEquals(
        "FIELD Journey.guide: io.jprobe.capture.away.Traveller,"
            + " HIDDEN_FIELD Traveller.companion: io.jprobe.capture.away.Traveller,"
            + " FIELD Traveller.name: java.lang.String",
        steps("travel", "this.guide.companion.name"));
  }

  @Test
  public void methodsMustBeOnesThatTheTracedClassMayCall() throws Exception {
    assertEquals("METHOD Traveller.home: java.lang.String", steps("travel", "other.home()"));
    assertEquals("METHOD Journey.age: int", steps("travel", "this.age()"));
    for (String name : new String[] {"age", "size", "secret"}) {
      assertNothing(
          "other." + name + "()",
          name,
          "io.jprobe.capture.away.Traveller has no '" + name + "': " + UNCALLED);
    }
  }

  @Test
  public void aHiddenClassIsReachedThroughTheClassBeforeIt() throws Exception {
    assertEquals(
        "METHOD Traveller.pass: io.jprobe.capture.away.Traveller$Pass, METHOD Pass.price: int",
        steps("travel", "other.pass().price()"));
    assertEquals(
        "METHOD Traveller.pass: io.jprobe.capture.away.Traveller$Pass,"
            + " HIDDEN_FIELD Ticket.seat: int",
        steps("travel", "other.pass().seat"));
  }

  @Test
  public void ofTheJdksClassesOnlyPublicFieldsAreRead() throws Exception {
    assertEquals("FIELD StreamTokenizer.ttype: int", steps("travel", "tokens.ttype"));
    assertEquals(
        "METHOD Traveller.places: java.util.ArrayList, METHOD ArrayList.size: int",
        steps("travel", "other.places().size()"));
    assertNothing(
        "other.places().elementData",
        "elementData",
        "java.util.ArrayList has no 'elementData': " + UNREACHED);
    assertNothing("other.name.hash", "hash", "java.lang.String has no 'hash': " + UNREACHED);
  }

  @Test
  public void anInterfaceHasTheMethodsOfObject() throws Exception {
    assertEquals("METHOD Named.name: java.lang.String", steps("travel", "named.name()"));
    assertEquals("METHOD Object.hashCode: int", steps("travel", "named.hashCode()"));
    assertTrue(path("travel", "named.name()").steps.get(0).isInterface);
    assertFalse(path("travel", "named.hashCode()").steps.get(0).isInterface);
  }

  // ---- ends of paths ----

  @Test
  public void anArrayHasItsLength() throws Exception {
    assertEquals("LENGTH length: int", steps("travel", "places.length"));
    assertEquals("LENGTH size: int", steps("travel", "places.size"));
    assertNothing(
        "places.first", "first", "java.lang.String[] has no 'first': an array has only a length");
  }

  @Test
  public void aPrimitiveValueHasNothing() {
    assertNothing("properties.x.bits", "bits", "int has no 'bits': it is not an object");
  }

  @Test
  public void aClassWithoutAFileEndsThePath() {
    ClassLoader hiding =
        new ClassLoader(null) {
          @Override
          public URL getResource(String name) {
            return null;
          }
        };
    SelectorException mistake =
        assertThrows(
            SelectorException.class,
            () ->
                Typing.of(
                    Journey.class,
                    "travel",
                    "(it=other.name)",
                    new ClassFiles(hiding, new ApplicationCalls())));
    assertTrue(
        mistake.getMessage(),
        mistake
            .getMessage()
            .endsWith("column 27: cannot find the class file of io.jprobe.capture.away.Traveller"));
  }

  // ---- roots ----

  @Test
  public void anArgumentHasItsNameAndItsNumber() throws Exception {
    assertEquals(1, path("travel", "other").argument);
    assertEquals(1, path("travel", "arg1").argument);
    assertMistake(
        "start",
        "(arg6)",
        "arg6",
        "there is no argument 'arg6', start(IDCZLjava/lang/String;Ljava/lang/Integer;)V has"
            + " 6 arguments: count (int), fare (double), zone (char), express (boolean), to"
            + " (java.lang.String), boxed (java.lang.Integer)");
    assertMistake(
        "pause", "(it=legs)", "legs", "there is no argument 'legs', pause()V has no arguments");
  }

  @Test
  public void aClassWithoutTheStaticFieldIsNamed() {
    assertMistake(
        "travel",
        "(it=Properties.LIMITS)",
        "LIMITS",
        "io.jprobe.capture.Journey$Properties has no static field LIMITS");
    assertMistake(
        "travel",
        "(it=io.jprobe.capture.Journey.LIMITS.size)",
        "LIMITS",
        "io.jprobe.capture.Journey has no static field LIMITS");
    assertMistake(
        "travel",
        "(it=Properties.still())",
        "still",
        "io.jprobe.capture.Journey$Properties has no static field still, and static methods are not"
            + " called");
  }

  @Test
  public void aMapHasItsValuesByKey() throws Exception {
    String problem = " has no 'id': a value of a map is read by its key, as in .get(\"id\")";
    assertMistake("look", "(it=map.id)", "id", "java.util.Map" + problem);
    assertMistake("look", "(it=arg1.id)", "id", "java.util.TreeMap" + problem);
  }

  @Test
  public void aStaticMethodHasNoThis() {
    assertMistake("start", "(this)", "this", "start is static and has no this");
  }

  @Test
  public void aVoidMethodReturnsNothing() {
    assertMistake("pause", "(it=return)", "return", "pause returns nothing");
    assertMistake("<init>", "(it=return)", "return", "<init> returns nothing");
  }

  @Test
  public void valuesThatExistOnlyWhenTheCallEndsAreLate() throws Exception {
    assertTrue(path("travel", "return").isLate);
    assertTrue(path("travel", "exception.message").isLate);
    assertTrue("before that there is no object", path("<init>", "this.legs").isLate);
    assertFalse(path("travel", "this.legs").isLate);
    assertFalse(path("<init>", "legs").isLate);
    assertFalse(path("travel", "thread.name").isLate);
  }

  @Test
  public void exceptionsAndThreadsHaveTheTypesOfJava() throws Exception {
    assertEquals(
        "METHOD Throwable.getMessage: java.lang.String", steps("travel", "exception.message"));
    assertEquals("METHOD Thread.getName: java.lang.String", steps("travel", "thread.name"));
    assertEquals(Root.THREAD, path("travel", "thread.name").root);
  }

  @Test
  public void noThreadIsVirtualWhereTheJdkHasNone() throws Exception {
    boolean hasThem = Runtime.version().feature() >= 21;
    assertEquals(
        hasThem ? "METHOD Thread.isVirtual: boolean" : "FALSE virtual: boolean",
        steps("travel", "thread.virtual"));
  }

  // ---- complete captures ----

  @Test
  public void theSameTextIsTheSamePath() throws Exception {
    Captures captures =
        Typing.of("travel", "(one=other.name, two=other.name) when other.name == 'x'");
    assertSame(
        captures.values(ProbeKind.ENTRY).get(0).path, captures.values(ProbeKind.ENTRY).get(1).path);
    assertEquals(
        1, captures.paths().stream().filter(path -> path.toString().equals("other.name")).count());
  }

  @Test
  public void theMessageOfAnExceptionIsForAllMethods() throws Exception {
    ClassFiles files = new ClassFiles(getClass().getClassLoader(), new ApplicationCalls());
    Captures captures =
        Typing.of(Journey.Trouble.class, "getMessage", "(why=exception.message)", files);
    assertEquals("why", captures.values(ProbeKind.THROW).get(1).name);
  }

  @Test
  public void noCaptureCallsItsOwnMethod() throws Exception {
    String problem = "the capture would call its own method recursively, without end";
    assertMistake("total", "(it=this.total())", "total()", problem);
    assertMistake("total", " when this.total() > 5", "total() >", problem);
    assertMistake("self", "(it=return.self().guide)", "self().", problem);
    assertEquals("METHOD Journey.total: int", steps("travel", "this.total()"));
    assertEquals("METHOD String.length: int", steps("total", "this.name.length()").split(", ")[1]);
  }
}
