// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.layout.OverheadLayout;
import io.jprobe.select.Selectors;
import io.jprobe.stub.MemoryLimit;
import io.jprobe.stub.StubLibrary;
import io.jprobe.weave.Woven;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.After;
import org.junit.Before;
import org.junit.BeforeClass;
import org.junit.Test;

/** The size of the rings in a process with a limit on its memory. */
public class DirectLaneTest {
  private static final long MIB = 1 << 20;

  private long headroom;
  private DirectLane lane;
  private StubLibrary library;

  @BeforeClass
  public static void bindFire() throws Exception {
    PublishedClass.loadNative();
    Woven.bindFire();
  }

  @Before
  public void make() throws Exception {
    library =
        new Catalog(
                Selectors.NONE, "0.0.0", null, 1, 90, new ApplicationCalls(), () -> new Class<?>[0])
            .open();
    lane =
        new DirectLane(
            new MemoryLimit("") {
              @Override
              public long headroom() {
                return headroom;
              }
            });
    lane.publishIn(library);
  }

  @After
  public void close() {
    lane.shutDown();
  }

  /** Returns the size of the rings in MiB, without their headers. */
  private long open(long bytes) throws Exception {
    headroom = bytes;
    lane.open(Sinks.EVENT);
    int descriptor = library.gateInt(0, OverheadLayout.RINGS) - 1;
    return Files.size(Path.of("/proc/self/fd/" + descriptor)) / MIB;
  }

  @Test
  public void withEnoughMemoryTheyHaveTheSizeOfTheOption() throws Exception {
    assertEquals(16, open(64 * MIB));
    assertNull(lane.takeUnreported());
  }

  @Test
  public void withLittleMemoryTheyUseAQuarterOfIt() throws Exception {
    assertEquals(3, open(12 * MIB));
    assertEquals(
        "ring-size is reduced from 16 MiB to 3072 KiB: the memory limit of the program's cgroup"
            + " leaves 12 MiB, and the rings use at most a quarter of that",
        lane.takeUnreported());
    assertNull(lane.problem());
  }

  @Test
  public void withTooLittleMemoryThereAreNone() throws Exception {
    headroom = MIB - 1;
    lane.open(Sinks.EVENT);
    assertEquals(0, library.gateInt(0, OverheadLayout.RINGS));
    assertNotNull(lane.problem());
    assertEquals(
        "cannot trace through shared memory: the memory limit of the program's cgroup leaves 1023"
            + " KiB, and the rings need at least 256 KiB in a quarter of that; the probes fail, and"
            + " the agent retries every second",
        lane.takeUnreported());
    assertEquals("there is memory now", 16, open(64 * MIB));
    assertNull(lane.problem());
  }
}
