// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ProbeKind;
import io.jprobe.select.Selectors;
import io.jprobe.stapsdt.FireGuard;
import io.jprobe.stapsdt.StubLibrary;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;

/**
 * What is throttled, when, and when it comes back: with the real gates and semaphores, hits that
 * are only counted, and a clock that the test sets.
 */
public class GuardTest {
  /** Three methods to be hit. */
  public static class Mill {
    public void grind() {}

    public void sieve() {}

    public void rest() {}
  }

  private static final long SECOND = 1_000_000_000L;
  private static final long LOOK = SECOND / 25;

  /** Of hits that nobody has timed: the guard's assumption, and the clock's price. */
  private long hitNanos;

  private final List<String> said = new ArrayList<>();
  private Catalog catalog;
  private TracedClass traced;
  private FireGuard fires;
  private Guard guard;
  private StubLibrary first;
  private long now = System.nanoTime() + 1_000 * SECOND;

  @Before
  public void publish() throws Exception {
    PublishedClass.loadNative();
    String name = Mill.class.getName();
    catalog = PublishedClass.catalog("**Mill#*i*;**Mill#rest");
    traced =
        PublishedClass.offer(
            catalog,
            GuardTest.class.getClassLoader(),
            name.replace('.', '/'),
            PublishedClass.classFile(name),
            new PublishedClass.Complaints());
    fires = new FireGuard();
    // A return without an entry reads the clock twice.
    hitNanos = 1_000 + 2 * fires.clockNanos();
    guard = new Guard(new Limits(Limits.DEFAULT), fires, said::add);
    // The catalogue has opened one itself; this one is the guard's.
    first =
        new Catalog(
                Selectors.NONE, "0.0.0", null, 1, 90, new ApplicationCalls(), () -> new Class<?>[0])
            .open();
    guard.open(first);
  }

  @After
  public void letEverythingFire() throws Exception {
    guard.close();
  }

  private TracedMethod method(String name) {
    return traced.methods().stream().filter(one -> one.name.equals(name)).findFirst().get();
  }

  /** As the kernel does it, through the one view that can be written. */
  private static void raise(StubLibrary library, int slot, int count) throws Exception {
    Field handle = StubLibrary.class.getDeclaredField("handle");
    handle.setAccessible(true);
    Method semaphores =
        Class.forName("io.jprobe.stapsdt.Native").getDeclaredMethod("semaphores", long.class);
    semaphores.setAccessible(true);
    ByteBuffer view = (ByteBuffer) semaphores.invoke(null, handle.get(library));
    view.order(ByteOrder.nativeOrder()).putShort(Short.BYTES * slot, (short) count);
  }

  private static StubLibrary libraryOf(TracedMethod method) throws Exception {
    Field library = Generation.class.getDeclaredField("library");
    library.setAccessible(true);
    return (StubLibrary) library.get(method.generation());
  }

  private void listen(int count, String... names) throws Exception {
    for (String name : names) {
      TracedMethod method = method(name);
      raise(libraryOf(method), method.slot(ProbeKind.RETURN), count);
    }
    guard.follow(catalog.changed());
  }

  private void hit(String name, long hits) {
    TracedMethod method = method(name);
    int word = Gate.fired(ProbeKind.RETURN);
    if (!method.isThrottled()) {
      method.setGateWord(word, method.gateWord(word) + hits);
    }
  }

  /**
   * Lets time pass, in which the method costs so much of a core, in percent, as long as it is
   * woven.
   */
  private void run(double seconds, String name, double percent) {
    for (long end = now + (long) (seconds * SECOND); now < end; ) {
      now += LOOK;
      hit(name, (long) (LOOK * percent / 100 / hitNanos));
      guard.look(now);
    }
  }

  private boolean isThrottled(String name) {
    return method(name).isThrottled();
  }

  @Test
  public void whatCostsLessThanTheLimitIsLeftAlone() throws Exception {
    listen(1, "grind", "sieve");
    // Of the oldest tenth of a second all counts, and something is kept for weaving.
    run(60, "grind", 47);
    assertEquals(List.of(), said);
    assertFalse(isThrottled("grind"));
    assertEquals("in the last five seconds", 2.35, first.gateWord(0, 3) / 1e9, 0.1);
    assertEquals("in all", 28.2, first.gateWord(0, 2) / 1e9, 0.1);
  }

  @Test
  public void whatCostsMoreIsThrottledBeforeAllIsSpentAndTheRestIsNot() throws Exception {
    listen(1, "grind", "sieve");
    for (int i = 0; i < 50; i++) {
      hit("sieve", 10);
      run(0.04, "grind", 100);
    }
    assertTrue(isThrottled("grind"));
    assertFalse(isThrottled("sieve"));
    long spent = first.gateWord(0, 3);
    assertTrue(spent + " ns", spent > 1.2 * SECOND && spent < 2 * SECOND);
    assertEquals(1, said.size());
    assertTrue(said.get(0), said.get(0).startsWith("throttled " + Mill.class.getName() + "#grind"));
    assertEquals(Set.of(method("sieve")), traced.raised().keySet());
    assertEquals(ProbeState.THROTTLED, method("grind").restingState(ProbeKind.RETURN));
    assertEquals(
        "nobody listens to it", ProbeState.DORMANT, method("grind").restingState(ProbeKind.ENTRY));
  }

  @Test
  public void thePromiseHoldsInAnyFiveSecondsWhateverIsTriedAgain() throws Exception {
    listen(1, "grind");
    for (int i = 0; i < 3_000; i++) {
      run(0.04, "grind", 100);
      assertTrue(first.gateWord(0, 3) <= 2.45 * SECOND);
    }
    long throttled = method("grind").gateWord(Gate.THROTTLED_NANOS);
    assertTrue(throttled + " ns of 120 s", throttled > 100 * SECOND);
    assertEquals("told once", 1, said.size());
  }

  @Test
  public void itComesBackAfterTenSecondsIfItIsCalmByThen() throws Exception {
    listen(1, "grind");
    run(2, "grind", 100);
    assertTrue(isThrottled("grind"));
    run(8, "grind", 1);
    assertTrue(isThrottled("grind"));
    run(4, "grind", 1);
    assertFalse(isThrottled("grind"));
    run(60, "grind", 20);
    assertFalse(isThrottled("grind"));
  }

  @Test
  public void whoFailsATrialRestsTwiceAsLong() throws Exception {
    listen(1, "grind");
    run(12, "grind", 100);
    long before = method("grind").gateWord(Gate.fired(ProbeKind.RETURN));
    run(1, "grind", 100);
    long trial = method("grind").gateWord(Gate.fired(ProbeKind.RETURN)) - before;
    assertTrue(isThrottled("grind"));
    assertTrue(trial * hitNanos < SECOND / 2);
    run(18, "grind", 100);
    assertTrue(isThrottled("grind"));
    run(4, "grind", 1);
    assertFalse(isThrottled("grind"));
  }

  @Test
  public void whatNobodyListensToIsThrottledNoLonger() throws Exception {
    listen(1, "grind");
    run(2, "grind", 100);
    listen(0, "grind");
    now += LOOK * 5;
    assertEquals(Set.of(traced), guard.look(now));
    assertFalse(isThrottled("grind"));
    assertEquals(ProbeState.DORMANT, method("grind").restingState(ProbeKind.RETURN));
  }

  @Test
  public void whereTheLimitIsLiftedAllComesBackAtOnce() throws Exception {
    listen(1, "grind");
    run(2, "grind", 100);
    raise(first, 0, 1);
    try {
      now += LOOK;
      assertEquals(Set.of(traced), guard.look(now));
      assertFalse(isThrottled("grind"));
      assertTrue(fires.allowance() > Long.MAX_VALUE / 4);
      run(10, "grind", 300);
      assertFalse(isThrottled("grind"));
    } finally {
      raise(first, 0, 0);
    }
  }

  @Test
  public void whatMayStillBeSpentIsAllThatMayStillFire() throws Exception {
    listen(1, "grind");
    run(1, "grind", 40);
    double left = 2.45 * SECOND - first.gateWord(0, 3);
    assertEquals(left / 1_000, fires.allowance(), 1);
  }

  @Test
  public void callsThatAreHeldBackCostSomethingToo() throws Exception {
    listen(1, "grind");
    TracedMethod method = method("grind");
    method.setGateWord(Gate.LEAST_DURATION, 1);
    long held = SECOND / (5 + 2 * fires.clockNanos());
    for (int i = 0; i < 100; i++) {
      int word = Gate.filtered(ProbeKind.RETURN);
      method.setGateWord(word, method.gateWord(word) + held / 25);
      now += LOOK;
      guard.look(now);
    }
    assertTrue(isThrottled("grind"));
  }

  @Test
  public void aRetiredMethodIsForgotten() throws Exception {
    listen(1, "grind");
    run(2, "grind", 100);
    TracedMethod grind = method("grind");
    catalog.clear();
    now += LOOK * 5;
    guard.look(now);
    assertFalse(grind.isThrottled());
    assertEquals(0, first.gateWord(0, 4));
  }
}
