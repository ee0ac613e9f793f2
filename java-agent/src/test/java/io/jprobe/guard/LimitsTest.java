// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.catalog.LimitProbes;
import io.jprobe.layout.SlotLayout;
import io.jprobe.stub.ProbeDefinition;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.Test;

/** The limit in force depends on the option and on the requests of tracers. */
public class LimitsTest {
  private static int limit(int option, int... requested) {
    ByteBuffer semaphores = ByteBuffer.allocate(SlotLayout.SEMAPHORE_BYTES * LimitProbes.count());
    for (int percent : requested) {
      for (int slot = 0; slot < LimitProbes.count(); slot++) {
        if (LimitProbes.percent(slot) == percent) {
          semaphores.putShort(SlotLayout.SEMAPHORE_BYTES * slot, (short) 1);
        }
      }
    }
    return new Limits(option).percent(semaphores);
  }

  @Test
  public void withoutRequestsTheOptionHoldsOrHalfACore() {
    assertEquals(50, limit(Limits.UNSET));
    assertEquals(7, limit(7));
    assertEquals(0, limit(0));
  }

  @Test
  public void theLowestRequestHolds() {
    assertEquals(5, limit(Limits.UNSET, 400, 5, 100));
    assertEquals("above the default, because no request is lower", 400, limit(Limits.UNSET, 400));
    assertEquals(5, limit(0, 5));
  }

  @Test
  public void aRequestForNoLimitYieldsToAnyOther() {
    assertEquals(0, limit(Limits.UNSET, 0));
    assertEquals(75, limit(Limits.UNSET, 0, 75));
  }

  @Test
  public void requestsOfClientsCountLikeThoseOfTracers() {
    ByteBuffer none = ByteBuffer.allocate(SlotLayout.SEMAPHORE_BYTES * LimitProbes.count());
    Limits limits = new Limits(Limits.UNSET);
    Object client = new Object();
    Object other = new Object();
    limits.request(client, 0);
    assertEquals(0, limits.percent(none));
    limits.request(other, 17);
    assertEquals(17, limits.percent(none));
    limits.request(client, 3);
    assertEquals(3, limits.percent(none));
    limits.request(client, Limits.UNSET);
    limits.request(other, Limits.UNSET);
    assertEquals(50, limits.percent(none));
  }

  @Test
  public void noRequestExceedsTheOption() {
    assertEquals(10, limit(10, 400));
    assertEquals(10, limit(10, 0));
    assertEquals(3, limit(10, 3));
  }

  @Test
  public void eachLimitHasAProbeNamedAfterIt() {
    List<String> names =
        LimitProbes.definitions().stream()
            .map((ProbeDefinition one) -> one.provider + ":" + one.name)
            .collect(Collectors.toList());
    assertEquals(LimitProbes.count(), names.size());
    assertEquals("jprobe:max_overhead__off", names.get(0));
    assertTrue(names.contains("jprobe:max_overhead__5"));
  }

  private static final long CORE = 1_000_000_000L;

  private static double cores(int percent, double available) {
    return Limits.nanosPerSecond(percent, (long) (available * CORE)) / (double) CORE;
  }

  @Test
  public void theDefaultIsAThirdOfTheAvailableTimeAndAtMostHalfACore() {
    assertEquals(0.5, cores(50, 64), 1e-6);
    assertEquals(0.5, cores(50, 2), 1e-6);
    assertEquals(1 / 3.0, cores(50, 1), 1e-6);
    assertEquals(0.1, cores(50, 0.3), 1e-6);
    assertEquals(0.01, cores(50, 0.03), 1e-6);
    assertEquals(0.5 * CORE, Limits.nanosPerSecond(50, Long.MAX_VALUE), 0);
  }

  @Test
  public void aLowerRequestIsAShareOfOneCoreAndNeverExceedsTheDefault() {
    assertEquals(0.05, cores(5, 64), 1e-6);
    assertEquals(0.05, cores(5, 0.3), 1e-6);
    assertEquals(0.1, cores(20, 0.3), 1e-6);
  }

  @Test
  public void aHigherRequestIsAShareOfOneCoreOrOfTheAvailablePartOfIt() {
    assertEquals(4, cores(400, 64), 1e-6);
    assertEquals(0.75, cores(75, 1), 1e-6);
    assertEquals(0.75 * 0.3, cores(75, 0.3), 1e-6);
    assertEquals(0.3, cores(100, 0.3), 1e-6);
  }

  @Test
  public void noLimitStaysNoneAndALimitNeverBecomesNone() {
    assertEquals(0, Limits.nanosPerSecond(0, CORE));
    assertEquals(1, Limits.nanosPerSecond(1, 1));
    assertEquals(1, Limits.nanosPerSecond(100, 1));
  }

  @Test
  public void probesMayCostAThirdOfTheUsedTimeOrFivePercentOfACore() {
    assertEquals(2 * CORE, Limits.shareOf(50, 6 * CORE, 5 * CORE));
    assertEquals(CORE / 4, Limits.shareOf(50, 0, 5 * CORE));
    assertEquals(CORE / 4, Limits.shareOf(5, CORE / 2, 5 * CORE));
    assertEquals("requested", Long.MAX_VALUE, Limits.shareOf(75, 0, 5 * CORE));
  }
}
