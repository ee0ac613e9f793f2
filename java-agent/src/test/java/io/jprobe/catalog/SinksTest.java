// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.layout.DirectSemaphoresLayout;
import io.jprobe.layout.OverheadLayout;
import io.jprobe.stub.StubLibrary;
import io.jprobe.weave.Woven;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.After;
import org.junit.Before;
import org.junit.BeforeClass;
import org.junit.Test;

/** What the semaphores of a probe turn on, and the memory that exists meanwhile. */
public class SinksTest {
  private static final ClassLoader LOADER = SinksTest.class.getClassLoader();
  private static final int EVENT = DirectSemaphoresLayout.EVENT;
  private static final int COUNT = DirectSemaphoresLayout.COUNT;

  /** The traced class. */
  @SuppressWarnings("unused")
  static class Mill {
    String grind(int weight, String grain, Object sack) {
      return grain;
    }

    void rest() {}
  }

  @BeforeClass
  public static void bindFire() throws Exception {
    // Prepares the barriers that giving back memory needs.
    Woven.bindFire();
  }

  private Catalog catalog;
  private TracedClass traced;
  private TracedMethod grind;
  private TracedMethod rest;
  private StubLibrary overhead;

  @Before
  public void publish() throws Exception {
    catalog = PublishedClass.catalog("**Mill#grind;**Mill#rest;**Beside#*");
    traced = enqueue(Mill.class);
    grind = traced.methods().get(0);
    rest = traced.methods().get(1);
    Field first = DirectLane.class.getDeclaredField("first");
    first.setAccessible(true);
    overhead = (StubLibrary) first.get(catalog.direct);
  }

  private TracedClass enqueue(Class<?> type) throws Exception {
    String name = type.getName();
    return PublishedClass.enqueue(
        catalog,
        LOADER,
        name.replace('.', '/'),
        PublishedClass.classFile(name),
        new PublishedClass.NoFindings());
  }

  @After
  public void close() {
    catalog.retireAll();
    catalog.close();
    assertEquals(Map.of(), shared());
  }

  /** A class of a second library. */
  static class Beside {
    void method(String text) {}
  }

  private static int word(TracedMethod method, int offset) {
    return method.generation().gateInt(Integer.parseInt(method.id().split(":")[1]), offset);
  }

  private String descriptor(int word) throws IOException {
    int number = overhead.gateInt(0, word);
    return number == 0
        ? null
        : Files.readSymbolicLink(Path.of("/proc/self/fd/" + (number - 1))).toString();
  }

  /** Returns the published descriptors, by their word. */
  private Map<Integer, Integer> shared() {
    int rings = overhead.gateInt(0, OverheadLayout.RINGS);
    int histograms = overhead.gateInt(0, OverheadLayout.HISTOGRAMS);
    return rings == 0 && histograms == 0
        ? Map.of()
        : Map.of(OverheadLayout.RINGS, rings, OverheadLayout.HISTOGRAMS, histograms);
  }

  @Test
  public void allProbesOfTheCatalogAreNumbered() throws Exception {
    TracedMethod beside = enqueue(Beside.class).methods().get(1);
    int first = LimitProbes.count();
    assertEquals(first, word(grind, Gate.number(ProbeKind.ENTRY)));
    assertEquals(first + 2, word(grind, Gate.number(ProbeKind.THROW)));
    assertEquals(first + 3, word(rest, Gate.number(ProbeKind.ENTRY)));
    assertEquals(
        "the fourth of the next library",
        first + 6 + 3,
        word(beside, Gate.number(ProbeKind.ENTRY)));
  }

  @Test
  public void stringsAndTextsOfObjectsAreMarked() {
    assertEquals(0b110, word(grind, Gate.strings(ProbeKind.ENTRY)));
    assertEquals("after the duration", 0b10, word(grind, Gate.strings(ProbeKind.RETURN)));
    assertEquals("the exception's class", 0b10, word(grind, Gate.strings(ProbeKind.THROW)));
    assertEquals(0, word(rest, Gate.strings(ProbeKind.RETURN)));
  }

  @Test
  public void eachSemaphoreTurnsItsSinkOnAndOff() throws Exception {
    assertEquals(Set.of(), catalog.poll());
    PublishedClass.setDirect(grind, ProbeKind.RETURN, EVENT, 1);
    assertEquals(Set.of(traced), catalog.poll());
    assertEquals(Sinks.EVENT, grind.sinks(ProbeKind.RETURN));
    assertEquals(Map.of(grind, EnumSet.of(ProbeKind.RETURN)), traced.wanted());
    PublishedClass.setSemaphore(grind, ProbeKind.RETURN, 2);
    assertEquals("nothing to weave", Set.of(), catalog.poll());
    assertEquals(Sinks.EVENT | Sinks.TRAP, grind.sinks(ProbeKind.RETURN));
    PublishedClass.setDirect(grind, ProbeKind.RETURN, EVENT, 0);
    PublishedClass.setDirect(grind, ProbeKind.RETURN, COUNT, 1);
    assertEquals(Set.of(), catalog.poll());
    assertEquals(Sinks.COUNT | Sinks.TRAP, grind.sinks(ProbeKind.RETURN));
    PublishedClass.setSemaphore(grind, ProbeKind.RETURN, 0);
    PublishedClass.setDirect(grind, ProbeKind.RETURN, COUNT, 0);
    assertEquals(Set.of(traced), catalog.poll());
    assertEquals(0, grind.sinks(ProbeKind.RETURN));
    assertEquals(Map.of(), traced.wanted());
  }

  @Test
  public void anEntryProbeHasNoDurationToCount() throws Exception {
    PublishedClass.setDirect(grind, ProbeKind.ENTRY, COUNT, 1);
    assertEquals(Set.of(), catalog.poll());
    assertEquals(0, grind.sinks(ProbeKind.ENTRY));
    assertEquals(Map.of(), traced.wanted());
    assertEquals(Map.of(), shared());
    assertEquals(ProbeState.DORMANT, grind.unwovenState(ProbeKind.ENTRY));
  }

  @Test
  public void aThrottledMethodKeepsItsSinks() throws Exception {
    PublishedClass.setDirect(grind, ProbeKind.RETURN, EVENT, 1);
    catalog.poll();
    grind.setThrottled(true);
    PublishedClass.setDirect(grind, ProbeKind.THROW, EVENT, 1);
    catalog.poll();
    assertEquals(Map.of(), traced.wanted());
    assertEquals(Sinks.EVENT, grind.sinks(ProbeKind.RETURN));
    assertEquals(Sinks.EVENT, grind.sinks(ProbeKind.THROW));
  }

  @Test
  public void memoryExistsWhileASinkNeedsIt() throws Exception {
    PublishedClass.setSemaphore(grind, ProbeKind.ENTRY, 1);
    catalog.poll();
    assertEquals("a trap needs none", Map.of(), shared());
    PublishedClass.setDirect(grind, ProbeKind.ENTRY, EVENT, 1);
    PublishedClass.setDirect(rest, ProbeKind.ENTRY, EVENT, 1);
    catalog.poll();
    String rings = descriptor(OverheadLayout.RINGS);
    assertTrue(rings, rings.startsWith("/memfd:jprobe"));
    assertNull(descriptor(OverheadLayout.HISTOGRAMS));
    PublishedClass.setDirect(grind, ProbeKind.ENTRY, EVENT, 0);
    catalog.poll();
    assertEquals(rings, descriptor(OverheadLayout.RINGS));
    PublishedClass.setDirect(rest, ProbeKind.ENTRY, EVENT, 0);
    catalog.poll();
    assertEquals(Map.of(), shared());
    catalog.poll();
    assertFalse(catalog.direct.isReleasing());
  }

  @Test
  public void histogramsAreAssignedOnceUntilTheLastIsGivenBack() throws Exception {
    PublishedClass.setDirect(grind, ProbeKind.THROW, COUNT, 1);
    catalog.poll();
    String histograms = descriptor(OverheadLayout.HISTOGRAMS);
    assertTrue(histograms, histograms.startsWith("/memfd:jprobe"));
    assertNull(descriptor(OverheadLayout.RINGS));
    PublishedClass.setDirect(grind, ProbeKind.RETURN, COUNT, 1);
    catalog.poll();
    assertEquals(1, word(grind, Gate.histogram(ProbeKind.THROW)));
    assertEquals(2, word(grind, Gate.histogram(ProbeKind.RETURN)));
    PublishedClass.setDirect(grind, ProbeKind.THROW, COUNT, 0);
    PublishedClass.setDirect(rest, ProbeKind.RETURN, COUNT, 1);
    catalog.poll();
    PublishedClass.setDirect(grind, ProbeKind.THROW, COUNT, 1);
    catalog.poll();
    assertEquals("again", 1, word(grind, Gate.histogram(ProbeKind.THROW)));
    assertEquals(3, word(rest, Gate.histogram(ProbeKind.RETURN)));
    for (TracedMethod method : List.of(grind, rest)) {
      PublishedClass.setDirect(method, ProbeKind.RETURN, COUNT, 0);
      PublishedClass.setDirect(method, ProbeKind.THROW, COUNT, 0);
    }
    catalog.poll();
    assertEquals(0, word(grind, Gate.histogram(ProbeKind.THROW)));
    assertEquals(0, word(rest, Gate.histogram(ProbeKind.RETURN)));
    PublishedClass.setDirect(rest, ProbeKind.RETURN, COUNT, 1);
    catalog.poll();
    assertEquals(1, word(rest, Gate.histogram(ProbeKind.RETURN)));
  }

  @Test
  public void withoutMemoryProbesFailUntilThereIsSome() throws Exception {
    try (DescriptorLimit limit = new DescriptorLimit()) {
      limit.leave(0);
      PublishedClass.setDirect(grind, ProbeKind.RETURN, EVENT, 1);
      PublishedClass.setSemaphore(rest, ProbeKind.RETURN, 1);
      PublishedClass.setDirect(rest, ProbeKind.RETURN, EVENT, 1);
      assertEquals(Set.of(traced), catalog.poll());
      assertEquals(0, grind.sinks(ProbeKind.RETURN));
      assertEquals("traps need no memory", Sinks.TRAP, rest.sinks(ProbeKind.RETURN));
      assertEquals(Set.of(rest), traced.wanted().keySet());
      assertEquals(ProbeState.FAILED, grind.unwovenState(ProbeKind.RETURN));
      String message = catalog.direct.takeUnreported();
      assertTrue(
          message, message.startsWith("cannot trace through shared memory: cannot create the "));
      assertNull("reported once", catalog.direct.takeUnreported());
    }
    long deadline = System.nanoTime() + 10_000_000_000L;
    while (grind.sinks(ProbeKind.RETURN) == 0) {
      assertTrue("it is retried", System.nanoTime() - deadline < 0);
      Thread.sleep(50);
      catalog.poll();
    }
    assertEquals(Sinks.TRAP | Sinks.EVENT, rest.sinks(ProbeKind.RETURN));
    assertEquals(Set.of(grind, rest), traced.wanted().keySet());
    assertNull(catalog.direct.problem());
    assertNotEquals(ProbeState.FAILED, grind.unwovenState(ProbeKind.RETURN));
  }

  @Test
  public void aProbeThatFailsIsDormantOnceNoTracerIsAttached() throws Exception {
    try (DescriptorLimit limit = new DescriptorLimit()) {
      limit.leave(0);
      PublishedClass.setDirect(grind, ProbeKind.RETURN, COUNT, 1);
      assertEquals(Set.of(traced), catalog.poll());
      PublishedClass.setDirect(grind, ProbeKind.RETURN, COUNT, 0);
      assertEquals(Set.of(traced), catalog.poll());
      assertEquals(ProbeState.DORMANT, grind.unwovenState(ProbeKind.RETURN));
      assertNull(catalog.direct.problem());
    }
  }
}
