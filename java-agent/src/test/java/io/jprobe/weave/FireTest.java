// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.Sinks;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.lang.reflect.Method;
import org.junit.BeforeClass;
import org.junit.Test;

/** What an entry probe returns becomes the start of the call. */
public class FireTest {
  private static final String SHAPES = "io.jprobe.weave.Shapes";
  private static final long SECOND_NANOS = 1_000_000_000L;

  @BeforeClass
  public static void bind() throws Exception {
    Woven.bindFire();
  }

  /** Fires the entry probe of a method with these sinks. */
  private static long fire(int sinks, long time) throws Exception {
    TracedClass traced =
        PublishedClass.publish(SHAPES, PublishedClass.classFile(SHAPES), "**Shapes#aByte");
    TracedMethod method = traced.methods().get(0);
    method.setGateWord(Gate.sinks(ProbeKind.ENTRY), sinks);
    Method fire =
        Class.forName("java.jprobe.Fire", true, null)
            .getMethod("fire", long.class, long.class, long.class);
    return (long) fire.invoke(null, method.probe(ProbeKind.ENTRY), time, 1L);
  }

  @Test
  public void theTimeIsReturnedWhateverTheSinksAre() throws Exception {
    for (int sinks : new int[] {0, Sinks.TRAP, Sinks.EVENT, Sinks.TRAP | Sinks.EVENT}) {
      long before = System.nanoTime();
      long time = fire(sinks, 0);
      assertTrue(sinks + ": " + time, Math.abs(time - before) < 60 * SECOND_NANOS);
    }
  }

  @Test
  public void aGivenTimeIsNotReturned() throws Exception {
    assertEquals(0, fire(Sinks.TRAP, System.nanoTime()));
  }
}
