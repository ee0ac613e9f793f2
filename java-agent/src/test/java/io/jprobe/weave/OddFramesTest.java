// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.BeforeClass;
import org.junit.Test;
import org.objectweb.asm.Opcodes;

/**
 * {@link OddFrames} with every choice of probes: the verifier accepts the classes, their behavior
 * is unchanged, and each probe fires for the right calls with the right values.
 */
public class OddFramesTest {
  /** Class file versions with and without frames. */
  private static final int[] VERSIONS = {Opcodes.V11, Opcodes.V1_4};

  private static final int[] ARGUMENTS = {1, 2, 3, 2, -1, 0, OddFrames.EARLY, -2};

  /** ID of the object whose method is called. */
  private static final int ID = 7;

  private static final List<EnumSet<ProbeKind>> KINDS =
      List.of(
          EnumSet.allOf(ProbeKind.class),
          EnumSet.of(ProbeKind.ENTRY),
          EnumSet.of(ProbeKind.RETURN),
          EnumSet.of(ProbeKind.THROW));

  private static final List<String> FOR_EACH_CALL =
      List.of(
          "",
          "(t=thread)",
          "(s=this)",
          "(s=this.id,a=arg0,e=exception.message)",
          " when duration >= 0ns",
          " when thread != null && arg0 > -1000",
          "(s=this.toString().length()) when thread != null");

  /** One class and the outcomes of calls of its unusual method. */
  private static final class Odd {
    final String className;
    final String what;
    final boolean isConstructor;
    final byte[] classFile;
    final List<String> results;

    Odd(String className, String what, boolean isConstructor, byte[] classFile) throws Exception {
      this.className = className;
      this.what = what;
      this.isConstructor = isConstructor;
      this.classFile = classFile;
      this.results = call(classFile);
    }

    /** Calls the method with each argument. */
    List<String> call(byte[] bytes) throws Exception {
      Woven loader = new Woven();
      loader.add(className, bytes);
      Class<?> type = loader.loadClass(className);
      List<String> results = new ArrayList<>();
      for (int argument : ARGUMENTS) {
        try {
          Object made = type.getConstructor(int.class).newInstance(isConstructor ? argument : ID);
          results.add(
              isConstructor
                  ? "id " + type.getField("id").get(made)
                  : "returned "
                      + type.getMethod("run", int.class, long.class, Object.class)
                          .invoke(made, argument, 1L << 40, "text"));
        } catch (InvocationTargetException e) {
          results.add("threw " + e.getCause());
        }
      }
      return results;
    }

    long calls(ProbeKind kind) {
      long thrown = results.stream().filter(result -> result.startsWith("threw")).count();
      switch (kind) {
        case ENTRY:
          return ARGUMENTS.length;
        case RETURN:
          return ARGUMENTS.length - thrown;
        default:
          return thrown;
      }
    }
  }

  /** Returns the expected number of firings of a probe. */
  private interface Expected {
    long hits(Odd odd, ProbeKind kind);
  }

  private static List<Odd> odds;

  @BeforeClass
  public static void prepare() throws Exception {
    Woven.bindFire();
    odds = new ArrayList<>();
    for (int version : VERSIONS) {
      for (var each : OddFrames.constructors().entrySet()) {
        String name = "Odd" + odds.size();
        byte[] bytes = OddFrames.withConstructor(name, version, each.getValue());
        odds.add(new Odd(name, version + " new: " + each.getKey(), true, bytes));
      }
      for (var each : OddFrames.methods().entrySet()) {
        String name = "Odd" + odds.size();
        byte[] bytes = OddFrames.withMethod(name, version, each.getValue());
        odds.add(new Odd(name, version + " run: " + each.getKey(), false, bytes));
      }
    }
  }

  /** Weaves all classes for each choice of probes and calls them. */
  private static void assertHits(String suffix, Expected expected) throws Exception {
    Map<String, byte[]> files = new LinkedHashMap<>();
    List<String> selectors = new ArrayList<>();
    for (Odd odd : odds) {
      files.put(odd.className, odd.classFile);
      selectors.add(
          odd.className + "#" + (odd.isConstructor ? "new(int)" : "run(int,..)") + suffix);
    }
    Map<String, TracedClass> published = PublishedClass.publish(files, String.join(";", selectors));
    for (Odd odd : odds) {
      TracedClass traced = published.get(odd.className);
      assertEquals(1, traced.methods().size());
      TracedMethod method = traced.methods().get(0);
      for (EnumSet<ProbeKind> some : KINDS) {
        EnumSet<ProbeKind> kinds = EnumSet.copyOf(some);
        kinds.retainAll(method.kinds());
        if (!kinds.isEmpty()) {
          assertHits(odd, traced, method, kinds, expected);
        }
      }
    }
  }

  private static void assertHits(
      Odd odd, TracedClass traced, TracedMethod method, EnumSet<ProbeKind> kinds, Expected expected)
      throws Exception {
    String what = odd.what + " " + method.captures.conditionText + " " + kinds;
    ClassWeaver.Result result =
        new ClassWeaver().weave(traced, Collections.singletonMap(method, kinds), odd.classFile);
    assertEquals(what, Map.of(), result.failures);
    kinds.forEach(kind -> method.setGateWord(Gate.fired(kind), 0));
    assertEquals(what, odd.results, odd.call(result.classFile));
    for (ProbeKind kind : kinds) {
      assertEquals(what + ": " + kind, expected.hits(odd, kind), method.gateWord(Gate.fired(kind)));
    }
  }

  /** Two owners select each method; both sets fire for every call. */
  @Test
  public void everyCallFiresInBothSets() throws Exception {
    Map<String, byte[]> files = new LinkedHashMap<>();
    odds.forEach(odd -> files.put(odd.className, odd.classFile));
    String last = FOR_EACH_CALL.get(6);
    for (String inner : List.of("", last)) {
      for (String outer : List.of("", FOR_EACH_CALL.get(3), FOR_EACH_CALL.get(4), last)) {
        if (inner.equals(outer)) {
          continue;
        }
        List<String> owners =
            List.of(
                String.format("Odd*#new(int)%1$s; Odd*#run(int,..)%1$s", inner),
                String.format("Odd*#new(int)%1$s; Odd*#run(int,..)%1$s", outer));
        Map<String, TracedClass> published =
            PublishedClass.publish(files, PublishedClass.ofOwners(owners));
        for (Odd odd : odds) {
          for (EnumSet<ProbeKind> kinds : KINDS) {
            assertBothFire(odd, published.get(odd.className), kinds);
          }
        }
      }
    }
  }

  private static void assertBothFire(Odd odd, TracedClass traced, EnumSet<ProbeKind> some)
      throws Exception {
    List<TracedMethod> sets = new ArrayList<>();
    for (TracedMethod method : traced.methods()) {
      if (method.name.equals(odd.isConstructor ? "<init>" : "run")) {
        sets.add(method);
      }
    }
    assertEquals(odd.what, 2, sets.size());
    Map<TracedMethod, EnumSet<ProbeKind>> armed = new LinkedHashMap<>();
    for (TracedMethod method : sets) {
      EnumSet<ProbeKind> kinds = EnumSet.copyOf(some);
      kinds.retainAll(method.kinds());
      if (!kinds.isEmpty()) {
        armed.put(method, kinds);
        kinds.forEach(kind -> method.setGateWord(Gate.fired(kind), 0));
      }
    }
    String what = odd.what + " " + sets.get(0).selector() + " " + sets.get(1).selector() + some;
    ClassWeaver.Result result = new ClassWeaver().weave(traced, armed, odd.classFile);
    assertEquals(what, Map.of(), result.failures);
    assertEquals(what, odd.results, odd.call(result.classFile));
    armed.forEach(
        (method, kinds) ->
            kinds.forEach(
                kind ->
                    assertEquals(what + kind, odd.calls(kind), method.gateWord(Gate.fired(kind)))));
  }

  @Test
  public void everyCallFires() throws Exception {
    for (String suffix : FOR_EACH_CALL) {
      assertHits(suffix, Odd::calls);
    }
  }

  /** A constructor's value exists after it has returned. */
  @Test
  public void theReceiverIsTheObjectThatWasCalled() throws Exception {
    assertHits(
        "(s=this) when this.id == 2",
        (odd, kind) -> odd.isConstructor && kind == ProbeKind.RETURN ? 2 : 0);
    assertHits(
        "(s=this) when this.id == " + ID, (odd, kind) -> odd.isConstructor ? 0 : odd.calls(kind));
    assertHits(" when this.id == 99", (odd, kind) -> 0);
  }

  @Test
  public void argumentsAreThoseOfTheCall() throws Exception {
    assertHits(
        "(a=arg0) when arg0 == 2 && duration >= 0ns",
        (odd, kind) -> kind == ProbeKind.THROW ? 0 : 2);
    assertHits(" when arg0 == -1", (odd, kind) -> kind == ProbeKind.RETURN ? 0 : 1);
  }
}
