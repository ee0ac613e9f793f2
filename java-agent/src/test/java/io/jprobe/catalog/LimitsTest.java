// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.stapsdt.ProbeDefinition;
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
}
