// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ProbeKind;
import io.jprobe.select.Selectors;
import io.jprobe.stub.Cpus;
import io.jprobe.stub.FireGuard;
import io.jprobe.stub.StubLibrary;
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

  /** Of a machine where there is no want, and whatever the test says. */
  private double cores = 8;

  /** How many of them the program uses. */
  private double busy = 8;

  private long used;

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
    guard = new Guard(new Limits(Limits.DEFAULT), fires, new MadeUpCpus(), said::add);
    // The catalogue has opened one itself; this one is the guard's.
    first =
        new Catalog(
                Selectors.NONE, "0.0.0", null, 1, 90, new ApplicationCalls(), () -> new Class<?>[0])
            .open();
    guard.open(first);
  }

  private final class MadeUpCpus extends Cpus {
    MadeUpCpus() {
      super("");
    }

    @Override
    public long available() {
      return (long) (cores * SECOND);
    }

    @Override
    public long used() {
      return used;
    }
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
        Class.forName("io.jprobe.stub.Native").getDeclaredMethod("semaphores", long.class);
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

  /** Lets time pass until the next look. */
  private void pass() {
    now += LOOK;
    used += (long) (LOOK * busy);
  }

  /**
   * Lets time pass, in which the method costs so much of a core, in percent, as long as it is
   * woven.
   */
  private void run(double seconds, String name, double percent) {
    for (long end = now + (long) (seconds * SECOND); now < end; ) {
      pass();
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
    busy(8, 8);
    listen(1, "grind");
    run(1, "grind", 40);
    double left = 2.45 * SECOND - first.gateWord(0, 3);
    assertEquals(left, fires.allowance(), 1);
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
      pass();
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

  /** A program that is busy before anybody listens, with so many cores. */
  private void busy(double cores, double busy) {
    this.cores = cores;
    this.busy = busy;
    for (int second = 0; second < 6; second++) {
      now += SECOND;
      used += (long) (SECOND * busy);
      guard.eachSecond(now);
    }
  }

  private double spent() {
    return first.gateWord(0, 3) / (double) SECOND;
  }

  @Test
  public void underAQuotaAThirdOfItIsTheLimit() throws Exception {
    busy(0.3, 0.3);
    listen(1, "grind", "sieve");
    run(30, "grind", 8);
    assertFalse(isThrottled("grind"));
    assertEquals(0.1, first.gateWord(0, 0) / (double) SECOND, 1e-6);
    assertEquals("asked for", 0.5, first.gateWord(0, 5) / (double) SECOND, 1e-6);
    assertEquals("available", 0.3, first.gateWord(0, 6) / (double) SECOND, 1e-6);
    run(3, "grind", 28);
    assertTrue(isThrottled("grind"));
    assertTrue(spent() + " s", spent() < 0.5);
    assertTrue(
        said.get(0),
        said.get(0)
            .endsWith(
                "all probes may cost 10% (the program can get 0.30 cores; max-overhead is 50%);"
                    + " tried again in 10 s"));
  }

  @Test
  public void aQuotaThatComesMeanwhileHoldsWithinASecond() throws Exception {
    busy(2, 1);
    listen(1, "grind");
    run(20, "grind", 25);
    assertFalse(isThrottled("grind"));
    cores = 0.3;
    busy = 0.3;
    run(1.2, "grind", 25);
    assertTrue(isThrottled("grind"));
    assertEquals(0.1, first.gateWord(0, 0) / (double) SECOND, 1e-6);
  }

  @Test
  public void ofAProgramThatGetsLittleOfABusyMachineAThirdOfThatIsTheLimit() throws Exception {
    busy(2, 0.4);
    listen(1, "grind");
    run(20, "grind", 12);
    assertFalse(isThrottled("grind"));
    run(4, "grind", 36);
    assertTrue(isThrottled("grind"));
    assertTrue(spent() + " s", spent() < 0.7);
    assertTrue(
        said.get(0),
        said.get(0)
            .contains("cost 13% (a third of the CPU time that the program has used; max-overhead"));
  }

  @Test
  public void aProgramThatHardlyDoesAnythingMaySpendATwentiethOfACore() throws Exception {
    busy(2, 0.05);
    listen(1, "grind");
    run(60, "grind", 4.5);
    assertFalse(isThrottled("grind"));
    assertEquals(0.05, first.gateWord(0, 7) / (double) SECOND, 1e-6);
  }

  @Test
  public void aProgramThatStandsStillIsFreedBeforeHalfOfItIsSpent() throws Exception {
    busy(2, 1);
    listen(1, "grind");
    run(0.6, "grind", 97);
    assertTrue(isThrottled("grind"));
    assertTrue(spent() + " s", spent() < 0.5);
  }

  @Test
  public void whatIsHeldBackByTheAllowanceCostsSomethingToo() throws Exception {
    listen(1, "grind");
    TracedMethod method = method("grind");
    int word = Gate.throttled(ProbeKind.RETURN);
    method.setGateWord(word, 1_000_000);
    pass();
    guard.look(now);
    assertEquals(1e6 * (15 + 2 * fires.clockNanos()), first.gateWord(0, 3), 1);
  }
}
