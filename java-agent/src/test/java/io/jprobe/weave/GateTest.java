// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.lang.reflect.Method;
import java.util.EnumSet;
import java.util.Map;
import org.junit.BeforeClass;
import org.junit.Test;

/** Woven methods check their gate, which counts suppressed calls and can change between calls. */
public class GateTest {
  /** The woven class. */
  public static class Counted {
    public static int call(int number, String text) {
      if (number < 0) {
        throw new IllegalArgumentException(text);
      }
      return number;
    }
  }

  @BeforeClass
  public static void bindFire() throws Exception {
    Woven.bindFire();
  }

  /** A woven class, with access to its methods and its gate. */
  private static final class Target {
    private final TracedClass traced;
    private final TracedMethod method;
    private final Method woven;

    Target(String when, EnumSet<ProbeKind> kinds) throws Exception {
      String name = Counted.class.getName();
      byte[] bytes = PublishedClass.classFile(name);
      traced = PublishedClass.publish(name, bytes, "**Counted#call" + when);
      method = traced.methods().get(0);
      kinds.retainAll(method.kinds());
      ClassWeaver.Result result = new ClassWeaver().weave(traced, Map.of(method, kinds), bytes);
      assertEquals(Map.of(), result.failures);
      Woven loader = new Woven();
      loader.add(name, result.classFile);
      woven = loader.loadClass(name).getMethod("call", int.class, String.class);
    }

    void call(int times, int number, String text) throws Exception {
      for (int i = 0; i < times; i++) {
        try {
          woven.invoke(null, number, text);
        } catch (ReflectiveOperationException e) {
          assertTrue(number < 0);
        }
      }
    }

    long suppressed(ProbeKind kind) {
      return method.gateWord(Gate.filtered(kind));
    }

    void set(int word, long value) {
      method.setGateWord(word, value);
    }
  }

  private static Target target(String when) throws Exception {
    return new Target(when, EnumSet.allOf(ProbeKind.class));
  }

  @Test
  public void withoutAConditionNothingIsSuppressed() throws Exception {
    Target target = target("");
    target.call(100, 1, "a");
    target.call(10, -1, "a");
    for (ProbeKind kind : ProbeKind.values()) {
      assertEquals(0, target.suppressed(kind));
    }
  }

  @Test
  public void ofEveryHundredCallsOneFiresWithAllItsProbes() throws Exception {
    Target target = target(" every 100");
    target.call(1_000, 1, "a");
    assertEquals(990, target.suppressed(ProbeKind.ENTRY));
    assertEquals(990, target.suppressed(ProbeKind.RETURN));
    assertEquals(0, target.suppressed(ProbeKind.THROW));
    target.call(50, -1, "a");
    assertEquals("the 1,001st call fires", 49, target.suppressed(ProbeKind.THROW));
  }

  @Test
  public void theFirstOfASecondFire() throws Exception {
    Target target = target(" at most 50/s");
    long start = System.nanoTime();
    target.call(1_000, 1, "a");
    long seconds = 1 + (System.nanoTime() - start) / 1_000_000_000L;
    long fired = 1_000 - target.suppressed(ProbeKind.RETURN);
    assertTrue(fired + " fired", fired >= 50 && fired <= 50 * (seconds + 1));
    assertEquals(target.suppressed(ProbeKind.ENTRY), target.suppressed(ProbeKind.RETURN));
  }

  @Test
  public void aMinimumDurationFiltersShortCallsAndCanChange() throws Exception {
    Target target = target(" when duration > 60s");
    target.call(100, 1, "a");
    target.call(10, -1, "a");
    assertEquals(100, target.suppressed(ProbeKind.RETURN));
    assertEquals(10, target.suppressed(ProbeKind.THROW));
    target.set(Gate.LEAST_DURATION, 0);
    target.call(100, 1, "a");
    assertEquals(100, target.suppressed(ProbeKind.RETURN));
    target.set(Gate.EVERY, 4);
    target.call(100, 1, "a");
    assertEquals(175, target.suppressed(ProbeKind.RETURN));
  }

  @Test
  public void theLongestMinimumDurationFiltersEveryCall() throws Exception {
    Target target = target(" when duration > 9223372036854775807ns");
    target.call(100, 1, "a");
    assertEquals(100, target.suppressed(ProbeKind.RETURN));
  }

  @Test
  public void everyCountsOnlyTheCallsOfTheMinimumDuration() throws Exception {
    Target target = target(" when duration >= 0ns every 10");
    target.set(Gate.LEAST_DURATION, 1);
    target.call(100, 1, "a");
    assertEquals(90, target.suppressed(ProbeKind.RETURN));
  }

  @Test
  public void conditionsOnArgumentsAreDecidedOncePerCall() throws Exception {
    Target target = target(" when number > 5 && text == \"a\"");
    target.call(7, 6, "a");
    target.call(11, 5, "a");
    target.call(13, 6, "b");
    target.call(17, 6, null);
    for (ProbeKind kind : EnumSet.of(ProbeKind.ENTRY, ProbeKind.RETURN)) {
      assertEquals(11 + 13 + 17, target.suppressed(kind));
    }
    target.call(19, -1, "a");
    assertEquals(19, target.suppressed(ProbeKind.THROW));
  }

  @Test
  public void conditionsOnTheEndAreDecidedThere() throws Exception {
    Target target = target(" when return == 7 or exception.message == \"b\"");
    target.call(3, 7, "a");
    target.call(5, 8, "a");
    target.call(7, -1, "b");
    target.call(11, -1, "c");
    assertEquals(5, target.suppressed(ProbeKind.RETURN));
    assertEquals(11, target.suppressed(ProbeKind.THROW));
  }

  @Test
  public void anAbsentValueEqualsNothing() throws Exception {
    Target equal = target(" when text.length() == 1");
    Target unequal = target(" when text.length() != 1");
    Target isNull = target(" when text == null");
    for (Target target : new Target[] {equal, unequal, isNull}) {
      target.call(3, 1, "a");
      target.call(5, 1, "ab");
      target.call(7, 1, null);
    }
    assertEquals(5 + 7, equal.suppressed(ProbeKind.RETURN));
    assertEquals(3 + 7, unequal.suppressed(ProbeKind.RETURN));
    assertEquals(3 + 5, isNull.suppressed(ProbeKind.RETURN));
  }

  @Test
  public void eachProbeAloneCountsForItself() throws Exception {
    for (ProbeKind kind : ProbeKind.values()) {
      Target target = new Target(" every 2", EnumSet.of(kind));
      target.call(10, kind == ProbeKind.THROW ? -1 : 1, "a");
      assertEquals(5, target.suppressed(kind));
    }
  }
}
