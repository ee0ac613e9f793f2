// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import static io.jprobe.stapsdt.ArgumentType.DOUBLE;
import static io.jprobe.stapsdt.ArgumentType.FLOAT;
import static io.jprobe.stapsdt.ArgumentType.INT32;
import static io.jprobe.stapsdt.ArgumentType.INT64;
import static io.jprobe.stapsdt.ArgumentType.STRING;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.stub.NativeProvider;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;

public class ProviderTest {
  private static final int FIRING_THREADS = 8;
  private static final int CLOSES = 3_001;

  /** Returns the mapped stub libraries of this process with a probe of that name. */
  private static List<String> mapped(String provider) throws Exception {
    List<String> files = new ArrayList<>();
    for (String line : Files.readAllLines(Path.of("/proc/self/maps"))) {
      if (line.endsWith(".so") && line.contains("/jprobe-")) {
        String file = line.substring(line.indexOf('/'));
        byte[] image = Files.readAllBytes(Path.of(file));
        if (!files.contains(file) && new String(image, "ISO-8859-1").contains(provider)) {
          files.add(file);
        }
      }
    }
    return files;
  }

  /** Increments the semaphore as the kernel does when a tracer attaches. */
  private static void raise(Probe probe) {
    NativeProvider.semaphore(probe.handle()).put(0, (byte) 1);
  }

  private static void refused(
      Class<? extends Exception> type, String message, ThrowingRunnable call) {
    assertEquals(message, assertThrows(type, call).getMessage());
  }

  @Test
  public void aProbeCanBeTracedFromItsLoadOn() throws Exception {
    try (Provider orders = Provider.create("orders")) {
      Probe placed = orders.addProbe("placed", INT64, STRING);
      assertFalse(orders.isLoaded());
      assertFalse(placed.isEnabled());
      placed.fire(42L, "x");
      orders.load();
      assertTrue(orders.isLoaded());
      assertFalse(placed.isEnabled());
      raise(placed);
      assertTrue(placed.isEnabled());
      placed.fire(42L, "x");
      NativeProvider.semaphore(placed.handle()).put(0, (byte) 0);
      assertFalse(placed.isEnabled());
    }
  }

  @Test
  public void namesAndTypesCanBeQueried() throws Exception {
    try (Provider orders = Provider.create("orders")) {
      Probe placed = orders.addProbe("placed", INT64, STRING);
      Probe paid = orders.addProbe("paid");
      assertEquals("orders", orders.name());
      assertEquals(List.of(placed, paid), orders.probes());
      assertEquals("placed", placed.name());
      assertEquals("orders", placed.providerName());
      assertEquals(List.of(INT64, STRING), placed.arguments());
      assertEquals("orders:placed(INT64, STRING)", placed.toString());
      assertEquals("orders:paid()", paid.toString());
    }
  }

  @Test
  public void eachLoadMapsOneLibraryMoreAndClosingLeavesNone() throws Exception {
    Provider grown = Provider.create("grown");
    grown.addProbe("first", INT64);
    assertEquals(List.of(), mapped("grown"));
    grown.load();
    assertEquals(1, mapped("grown").size());
    grown.load();
    assertEquals(1, mapped("grown").size());
    Probe second = grown.addProbe("second", INT64);
    second.fire(1);
    grown.load();
    List<String> files = mapped("grown");
    assertEquals(2, files.size());
    raise(second);
    assertTrue(second.isEnabled());
    grown.close();
    assertEquals(List.of(), mapped("grown"));
    for (String file : files) {
      assertFalse(file, Files.exists(Path.of(file)));
    }
  }

  @Test
  public void closedProvidersAndProbesThrow() throws Exception {
    Provider orders = Provider.create("orders");
    Probe placed = orders.addProbe("placed", INT64, STRING);
    Probe late = orders.addProbe("late");
    orders.load();
    orders.close();
    orders.close();
    assertFalse(orders.isLoaded());
    assertEquals(List.of(placed, late), orders.probes());
    String closed = "the provider orders is closed";
    refused(IllegalStateException.class, closed, placed::isEnabled);
    refused(IllegalStateException.class, closed, () -> placed.fire(42L, "x"));
    refused(IllegalStateException.class, closed, () -> placed.fire(new Object[] {42L, "x"}));
    refused(IllegalStateException.class, closed, late::fire);
    refused(IllegalStateException.class, closed, () -> orders.addProbe("more"));
    refused(IllegalStateException.class, closed, orders::load);
  }

  @Test
  public void aProviderThatWasNeverLoadedCanBeClosed() throws Exception {
    Provider orders = Provider.create("orders");
    Probe placed = orders.addProbe("placed");
    orders.close();
    assertThrows(IllegalStateException.class, placed::fire);
    Provider.create("empty").close();
  }

  @Test
  public void namesAndArgumentsThatTracersCannotReadAreRejected() throws Exception {
    for (String name : List.of("", "a b", "a:b", "für", "a\0b", "n".repeat(239))) {
      assertThrows(name, IllegalArgumentException.class, () -> Provider.create(name));
    }
    try (Provider orders = Provider.create("orders")) {
      for (String name : List.of("", "a b", "a:b", "für", "a\0b", "n".repeat(239))) {
        assertThrows(name, IllegalArgumentException.class, () -> orders.addProbe(name));
      }
      orders.addProbe("placed", INT64);
      assertThrows(IllegalArgumentException.class, () -> orders.addProbe("placed", STRING));
      ArgumentType[] many = Collections.nCopies(13, INT64).toArray(new ArgumentType[0]);
      assertThrows(IllegalArgumentException.class, () -> orders.addProbe("many", many));
      orders.addProbe("most", Collections.nCopies(12, INT64).toArray(new ArgumentType[0]));
      assertEquals(2, orders.probes().size());
    }
  }

  @Test
  public void valuesOfOtherKindsAreRejectedWithAndWithoutATracer() throws Exception {
    try (Provider orders = Provider.create("orders")) {
      Probe placed = orders.addProbe("placed", INT32, FLOAT, STRING);
      refuseOtherKinds(placed);
      orders.load();
      refuseOtherKinds(placed);
      raise(placed);
      refuseOtherKinds(placed);
      placed.fire(1, 2.0, "x");
      placed.fire((byte) 1, 2f, null);
      placed.fire(new Object[] {'c', 2f, null});
    }
  }

  private static void refuseOtherKinds(Probe placed) {
    String takes =
        "the probe orders:placed(INT32, FLOAT, STRING) takes (long, double, String) and was fired"
            + " with ";
    refused(IllegalArgumentException.class, takes + "()", placed::fire);
    refused(IllegalArgumentException.class, takes + "(long, double)", () -> placed.fire(1, 2.0));
    refused(
        IllegalArgumentException.class,
        takes + "(long, long, String)",
        () -> placed.fire(1, 2, "x"));
    refused(
        IllegalArgumentException.class,
        takes + "(long, double, String, long)",
        () -> placed.fire(1, 2.0, "x", 3));
    refused(
        IllegalArgumentException.class,
        takes + "(long, double, java.lang.Object)",
        () -> placed.fire(1, 2.0, new Object()));
    refused(
        IllegalArgumentException.class,
        takes + "(" + String.join(", ", Collections.nCopies(13, "long")) + ")",
        () -> placed.fire(Collections.nCopies(13, 1L).toArray()));
  }

  @Test
  public void anyKindOfValueFitsWhereItBelongs() throws Exception {
    try (Provider all = Provider.create("all")) {
      Probe every = all.addProbe("every", ArgumentType.values());
      Probe numbers =
          all.addProbe("numbers", INT64, INT64, INT64, INT64, INT64, INT64, DOUBLE, DOUBLE);
      all.load();
      raise(every);
      raise(numbers);
      every.fire(1, 2, 3, 4, 5, 6, 7, 8, 9.0, 10f, "x");
      numbers.fire(1L, 2, (short) 3, (byte) 4, 'c', true, 6.0, 7f);
    }
  }

  @Test
  public void aMissingDirectoryIsReplacedByMemory() throws Exception {
    System.setProperty("jprobe.dir", "/no/such/directory");
    try (Provider orders = Provider.create("orders")) {
      orders.addProbe("placed");
      orders.load();
      assertTrue(orders.isLoaded());
      assertEquals(List.of(), mapped("orders"));
    } finally {
      System.clearProperty("jprobe.dir");
    }
  }

  @Test
  public void unreachableProvidersAreFreed() throws Exception {
    String file = forget();
    long deadline = System.nanoTime() + 30_000_000_000L;
    while (Files.exists(Path.of(file))) {
      assertTrue("still there: " + file, System.nanoTime() < deadline);
      System.gc();
      Thread.sleep(10);
    }
  }

  private static String forget() throws Exception {
    Provider forgotten = Provider.create("forgotten");
    forgotten.addProbe("probe");
    forgotten.load();
    return mapped("forgotten").get(0);
  }

  @Test
  public void closingWhileThreadsFireIsAnExceptionAndNoCrash() throws Exception {
    AtomicReference<Provider> open = new AtomicReference<>(raised());
    AtomicReference<Throwable> problem = new AtomicReference<>();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < FIRING_THREADS; i++) {
      threads.add(new Thread(() -> fireWhatIsOpen(open, problem)));
    }
    threads.forEach(Thread::start);
    for (int i = 0; i < CLOSES; i++) {
      open.getAndSet(raised()).close();
    }
    open.getAndSet(null).close();
    for (Thread thread : threads) {
      thread.join();
    }
    assertEquals(null, problem.get());
  }

  private static Provider raised() throws Exception {
    Provider provider = Provider.create("closing");
    Probe probe = provider.addProbe("fired", INT64, STRING);
    provider.load();
    raise(probe);
    return provider;
  }

  private static void fireWhatIsOpen(
      AtomicReference<Provider> open, AtomicReference<Throwable> problem) {
    try {
      for (Provider provider = open.get(); provider != null; provider = open.get()) {
        fireUntilClosed(provider.probes().get(0));
      }
    } catch (Throwable e) {
      problem.set(e);
    }
  }

  private static void fireUntilClosed(Probe probe) {
    try {
      while (true) {
        probe.fire(1, "text");
      }
    } catch (IllegalStateException e) {
      assertEquals("the provider closing is closed", e.getMessage());
    }
  }

  /** A search among all earlier probes for each new one took 5.7 s. */
  @Test(timeout = 5_000)
  public void manyProbesAreAddedInLinearTime() throws Exception {
    try (Provider provider = Provider.create("many")) {
      for (int i = 0; i < 80_000; i++) {
        provider.addProbe("probe_with_a_long_common_prefix_" + i, INT64);
      }
      provider.load();
      assertTrue(provider.probes().get(79_999).toString(), provider.isLoaded());
    }
  }
}
