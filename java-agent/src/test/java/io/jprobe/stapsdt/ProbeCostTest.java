// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import static io.jprobe.stapsdt.ArgumentType.DOUBLE;
import static io.jprobe.stapsdt.ArgumentType.INT64;
import static io.jprobe.stapsdt.ArgumentType.STRING;
import static org.junit.Assert.assertTrue;

import com.sun.management.ThreadMXBean;
import io.jprobe.stub.NativeProvider;
import java.lang.management.ManagementFactory;
import org.junit.Test;

/** The common forms of fire allocate nothing, with and without a tracer. */
public class ProbeCostTest {
  private static final int FIRES = 1_000_000;

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  private interface Fire {
    void fire(int i);
  }

  private static void allocatesNothing(Probe probe, Fire fire) {
    for (int raised = 0; raised < 2; raised++) {
      NativeProvider.semaphore(probe.handle()).put(0, (byte) raised);
      allocated(fire);
      long bytes = allocated(fire);
      // Less than one object per thousand firings is caused by other code.
      assertTrue(probe + ": " + bytes + " bytes, raised " + raised, bytes < 16 * FIRES / 1_000);
    }
  }

  private static long allocated(Fire fire) {
    long thread = Thread.currentThread().getId();
    long before = THREADS.getThreadAllocatedBytes(thread);
    for (int i = 0; i < FIRES; i++) {
      fire.fire(i);
    }
    return THREADS.getThreadAllocatedBytes(thread) - before;
  }

  @Test
  public void nothingIsAllocated() throws Exception {
    try (Provider provider = Provider.create("cost")) {
      Probe none = provider.addProbe("none");
      Probe three = provider.addProbe("three", INT64, INT64, INT64);
      Probe six = provider.addProbe("six", INT64, INT64, INT64, INT64, INT64, INT64);
      Probe mixed = provider.addProbe("mixed", INT64, DOUBLE, STRING);
      Probe strings = provider.addProbe("strings", STRING, STRING, STRING);
      provider.load();
      allocatesNothing(none, i -> none.fire());
      allocatesNothing(three, i -> three.fire(i, -i, i));
      allocatesNothing(six, i -> six.fire(i, 1, 2, 3, 4, 5));
      allocatesNothing(mixed, i -> mixed.fire(i, 0.5 * i, "text"));
      allocatesNothing(strings, i -> strings.fire("a", "für", null));
    }
  }
}
