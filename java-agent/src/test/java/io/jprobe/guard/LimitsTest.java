// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.stub.ProbeDefinition;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.Test;

/** Which limit holds, by what the JVM was started with and what tracers ask for. */
public class LimitsTest {
  private static int limit(int option, int... wanted) {
    ByteBuffer semaphores = ByteBuffer.allocate(Short.BYTES * Limits.RUNGS.length);
    for (int percent : wanted) {
      for (int i = 0; i < Limits.RUNGS.length; i++) {
        if (Limits.RUNGS[i] == percent) {
          semaphores.putShort(Short.BYTES * i, (short) 1);
        }
      }
    }
    return new Limits(option).percent(semaphores);
  }

  @Test
  public void whereNobodyAsksItIsTheOptionOrHalfACore() {
    assertEquals(50, limit(Limits.DEFAULT));
    assertEquals(7, limit(7));
    assertEquals(0, limit(0));
  }

  @Test
  public void theLeastThatAnyTracerAsksForHolds() {
    assertEquals(5, limit(Limits.DEFAULT, 400, 5, 100));
    assertEquals("more than usual, because nobody has said less", 400, limit(Limits.DEFAULT, 400));
    assertEquals(5, limit(0, 5));
  }

  @Test
  public void noLimitIsTheLastThatHolds() {
    assertEquals(0, limit(Limits.DEFAULT, 0));
    assertEquals(75, limit(Limits.DEFAULT, 0, 75));
  }

  @Test
  public void noTracerGetsMoreThanTheOptionAllows() {
    assertEquals(10, limit(10, 400));
    assertEquals(10, limit(10, 0));
    assertEquals(3, limit(10, 3));
  }

  @Test
  public void eachLimitHasAProbeOfItsName() {
    List<String> names =
        Limits.definitions().stream()
            .map((ProbeDefinition one) -> one.provider + ":" + one.name)
            .collect(Collectors.toList());
    assertEquals(Limits.RUNGS.length, names.size());
    assertEquals("jprobe:max_overhead__off", names.get(0));
    assertTrue(names.contains("jprobe:max_overhead__5"));
  }

  private static final long CORE = 1_000_000_000L;

  private static double cores(int percent, double available) {
    return Limits.nanosPerSecond(percent, (long) (available * CORE)) / (double) CORE;
  }

  @Test
  public void theUsualLimitIsAThirdOfWhatTheProgramCanGetAndHalfACoreAtMost() {
    assertEquals(0.5, cores(50, 64), 1e-6);
    assertEquals(0.5, cores(50, 2), 1e-6);
    assertEquals(1 / 3.0, cores(50, 1), 1e-6);
    assertEquals(0.1, cores(50, 0.3), 1e-6);
    assertEquals(0.01, cores(50, 0.03), 1e-6);
    assertEquals(0.5 * CORE, Limits.nanosPerSecond(50, Long.MAX_VALUE), 0);
  }

  @Test
  public void whoAsksForLessGetsThatOfOneCoreAndNoMoreThanWhoDoesNotAsk() {
    assertEquals(0.05, cores(5, 64), 1e-6);
    assertEquals(0.05, cores(5, 0.3), 1e-6);
    assertEquals(0.1, cores(20, 0.3), 1e-6);
  }

  @Test
  public void whoAsksForMoreGetsThatOfOneCoreOrOfWhatThereIsOfOne() {
    assertEquals(4, cores(400, 64), 1e-6);
    assertEquals(0.75, cores(75, 1), 1e-6);
    assertEquals(0.75 * 0.3, cores(75, 0.3), 1e-6);
    assertEquals(0.3, cores(100, 0.3), 1e-6);
  }

  @Test
  public void noLimitIsNoneWhateverThereIsAndALimitIsNeverNone() {
    assertEquals(0, Limits.nanosPerSecond(0, CORE));
    assertEquals(1, Limits.nanosPerSecond(1, 1));
    assertEquals(1, Limits.nanosPerSecond(100, 1));
  }

  @Test
  public void probesTakeAThirdOfWhatIsUsedOrATwentiethOfACore() {
    assertEquals(2 * CORE, Limits.shareOf(50, 6 * CORE, 5 * CORE));
    assertEquals(CORE / 4, Limits.shareOf(50, 0, 5 * CORE));
    assertEquals(CORE / 4, Limits.shareOf(5, CORE / 2, 5 * CORE));
    assertEquals("asked for", Long.MAX_VALUE, Limits.shareOf(75, 0, 5 * CORE));
  }
}
