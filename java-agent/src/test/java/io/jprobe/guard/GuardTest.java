// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.ProbeState;
import io.jprobe.catalog.PublishedClass;
import io.jprobe.catalog.Sinks;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.layout.DirectSemaphoresLayout;
import io.jprobe.layout.FireGuardLayout;
import io.jprobe.layout.OverheadLayout;
import io.jprobe.select.Selectors;
import io.jprobe.stub.Cpus;
import io.jprobe.stub.FireGuard;
import io.jprobe.stub.StubLibrary;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;

/**
 * When methods are throttled and retried: with real gates and semaphores, firings that are only
 * counted, and a clock that the test sets.
 */
public class GuardTest {
  /** Three traced methods. */
  public static class Mill {
    public void grind() {}

    public void sieve() {}

    public void rest() {}
  }

  private static final long SECOND = 1_000_000_000L;
  private static final long POLL = SECOND / 25;

  /** Cost of a firing that was not timed: the guard's assumption plus the clock reads. */
  private long firingNanos;

  /** Number of available cores: plenty, unless the test says otherwise. */
  private double cores = 8;

  /** Number of cores that the program uses. */
  private double busy = 8;

  private long used;

  /** Age of the program at the first poll, in ns; 0 if it is unknown. */
  private long age;

  private final List<String> messages = new ArrayList<>();
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
        PublishedClass.enqueue(
            catalog,
            GuardTest.class.getClassLoader(),
            name.replace('.', '/'),
            PublishedClass.classFile(name),
            new PublishedClass.NoFindings());
    fires = new FireGuard();
    // A return without an entry reads the clock twice.
    firingNanos = 1_000 + 2 * fires.clockNanos();
    guard = new Guard(new Limits(Limits.UNSET), fires, new MadeUpCpus(), messages::add);
    // The catalog has opened a library itself; this one is the guard's.
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

    @Override
    public long age() {
      return age;
    }
  }

  @After
  public void removeTheLimit() throws Exception {
    guard.close();
  }

  private TracedMethod method(String name) {
    return traced.methods().stream().filter(one -> one.name.equals(name)).findFirst().get();
  }

  private void attach(int count, String... names) throws Exception {
    for (String name : names) {
      PublishedClass.setSemaphore(method(name), ProbeKind.RETURN, count);
    }
    guard.watch(catalog.poll());
  }

  private void fire(String name, long firings) {
    TracedMethod method = method(name);
    int word = Gate.fired(ProbeKind.RETURN);
    if (!method.isThrottled()) {
      method.setGateWord(word, method.gateWord(word) + firings);
    }
  }

  /** Lets time pass until the next poll. */
  private void pass() {
    now += POLL;
    used += (long) (POLL * busy);
  }

  /** Lets time pass in which the method, while it is woven, costs a percentage of a core. */
  private void run(double seconds, String name, double percent) {
    for (long end = now + (long) (seconds * SECOND); now < end; ) {
      pass();
      fire(name, (long) (POLL * percent / 100 / firingNanos));
      guard.poll(now);
    }
  }

  private boolean isThrottled(String name) {
    return method(name).isThrottled();
  }

  @Test
  public void aMethodBelowTheLimitIsNotThrottled() throws Exception {
    attach(1, "grind", "sieve");
    // The oldest slice counts in full, and a part of the budget is reserved for weaving.
    run(60, "grind", 47);
    assertEquals(List.of(), messages);
    assertFalse(isThrottled("grind"));
    assertEquals(
        "in the last five seconds", 2.35, first.gateWord(0, OverheadLayout.RECENT) / 1e9, 0.1);
    assertEquals("in total", 28.2, first.gateWord(0, OverheadLayout.TOTAL) / 1e9, 0.1);
  }

  /** Lets time pass in which a method fires without a trap so many times in a second. */
  private void runDirect(double seconds, String name, long firingsPerSecond) {
    TracedMethod method = method(name);
    int word = Gate.sampled(ProbeKind.RETURN);
    for (long end = now + (long) (seconds * SECOND); now < end; ) {
      pass();
      if (!method.isThrottled()) {
        long firings = firingsPerSecond * POLL / SECOND;
        method.setGateWord(word, method.gateWord(word) + firings);
      }
      guard.poll(now);
    }
  }

  @Test
  public void aFiringWithoutATrapCostsItsOwnMeasuredTime() throws Exception {
    PublishedClass.setDirect(method("grind"), ProbeKind.RETURN, DirectSemaphoresLayout.COUNT, 1);
    guard.watch(catalog.poll());
    runDirect(10, "grind", 4_000_000);
    assertFalse("24% of a core", isThrottled("grind"));
    assertEquals(60, first.gateWord(0, OverheadLayout.DIRECT_NANOS));
    assertEquals(
        "in the last five seconds", 1.2, first.gateWord(0, OverheadLayout.RECENT) / 1e9, 0.05);
    runDirect(10, "grind", 10_000_000);
    assertTrue("60% of a core", isThrottled("grind"));
    assertEquals(Sinks.COUNT, method("grind").sinks(ProbeKind.RETURN));
  }

  @Test
  public void theCostOfAFiringWithoutATrapIsThatOfTheSamples() throws Exception {
    attach(1, "grind");
    guard.poll(now);
    ByteBuffer words = PublishedClass.fireGuard();
    int samples = FireGuardLayout.DIRECT_SAMPLES;
    int nanos = FireGuardLayout.DIRECT_SAMPLED_NS;
    words.putLong(samples, words.getLong(samples) + 15);
    words.putLong(nanos, words.getLong(nanos) + 15 * 80);
    run(0.4, "grind", 1);
    assertEquals("too few", 60, first.gateWord(0, OverheadLayout.DIRECT_NANOS));
    words.putLong(samples, words.getLong(samples) + 1);
    words.putLong(nanos, words.getLong(nanos) + 80);
    run(0.4, "grind", 1);
    assertEquals(80, first.gateWord(0, OverheadLayout.DIRECT_NANOS));
  }

  private void addSamples(int samples, int nanos, int count, long each) throws Exception {
    ByteBuffer words = PublishedClass.fireGuard();
    words.putLong(samples, words.getLong(samples) + count);
    words.putLong(nanos, words.getLong(nanos) + count * each);
  }

  private long reportedNanos() {
    return first.gateWord(0, OverheadLayout.FIRING_NANOS);
  }

  @Test
  public void theReportedCostOfAFiringIsThatOfTheFiringsThatThereAre() throws Exception {
    PublishedClass.setDirect(method("grind"), ProbeKind.RETURN, DirectSemaphoresLayout.COUNT, 1);
    attach(1, "sieve");
    runDirect(1, "grind", 100_000);
    run(1, "sieve", 1);
    assertEquals("nothing was measured", 0, reportedNanos());
    addSamples(FireGuardLayout.DIRECT_SAMPLES, FireGuardLayout.DIRECT_SAMPLED_NS, 100, 80);
    runDirect(1, "grind", 100_000);
    assertEquals("of a trap nothing was measured", 80, reportedNanos());
    addSamples(FireGuardLayout.SAMPLES, FireGuardLayout.SAMPLED_NS, 100, 500);
    runDirect(30, "grind", 100_000);
    assertEquals("traps have ended", 80, reportedNanos());
    run(30, "sieve", 1);
    assertEquals("only traps", 500, reportedNanos());
    run(30, "rest", 0);
    assertEquals("nothing fires any more", 500, reportedNanos());
    for (int i = 0; i < 500; i++) {
      fire("sieve", 1_000);
      runDirect(POLL / 1e9, "grind", 3_000 * SECOND / POLL);
    }
    assertEquals("a quarter traps", (500 + 3 * 80) / 4, reportedNanos(), 20);
  }

  @Test
  public void anExpensiveMethodIsThrottledBeforeTheBudgetIsSpentAndOthersAreNot() throws Exception {
    attach(1, "grind", "sieve");
    for (int i = 0; i < 50; i++) {
      fire("sieve", 10);
      run(0.04, "grind", 100);
    }
    assertTrue(isThrottled("grind"));
    assertFalse(isThrottled("sieve"));
    long spent = first.gateWord(0, OverheadLayout.RECENT);
    assertTrue(spent + " ns", spent > 1.2 * SECOND && spent < 2 * SECOND);
    assertEquals(1, messages.size());
    assertTrue(
        messages.get(0),
        messages.get(0).startsWith("throttled " + Mill.class.getName() + "#grind"));
    assertEquals(Set.of(method("sieve")), traced.wanted().keySet());
    assertEquals(ProbeState.THROTTLED, method("grind").unwovenState(ProbeKind.RETURN));
    assertEquals(
        "no tracer is attached to it",
        ProbeState.DORMANT,
        method("grind").unwovenState(ProbeKind.ENTRY));
  }

  @Test
  public void methodsThatAreThrottledTogetherAreCounted() throws Exception {
    attach(1, "grind", "sieve");
    for (int i = 0; i < 100; i++) {
      fire("sieve", (long) (POLL * 0.4 / firingNanos));
      run(0.04, "grind", 41);
    }
    assertTrue(messages.get(0), messages.get(0).contains("#grind and 1 more method: cost "));
  }

  @Test
  public void theLimitHoldsInAnyFiveSecondsInSpiteOfRetries() throws Exception {
    attach(1, "grind");
    for (int i = 0; i < 3_000; i++) {
      run(0.04, "grind", 100);
      assertTrue(first.gateWord(0, OverheadLayout.RECENT) <= 2.45 * SECOND);
    }
    long throttled = method("grind").gateWord(Gate.THROTTLED_NANOS);
    assertTrue(throttled + " ns of 120 s", throttled > 100 * SECOND);
    assertEquals("reported once", 1, messages.size());
  }

  @Test
  public void itIsRetriedAfterTenSecondsIfTheCostIsLowByThen() throws Exception {
    attach(1, "grind");
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
  public void theBackoffDoublesAfterAFailedTrial() throws Exception {
    attach(1, "grind");
    run(12, "grind", 100);
    long before = method("grind").gateWord(Gate.fired(ProbeKind.RETURN));
    run(1, "grind", 100);
    long trial = method("grind").gateWord(Gate.fired(ProbeKind.RETURN)) - before;
    assertTrue(isThrottled("grind"));
    assertTrue(trial * firingNanos < SECOND / 2);
    run(18, "grind", 100);
    assertTrue(isThrottled("grind"));
    run(4, "grind", 1);
    assertFalse(isThrottled("grind"));
  }

  @Test
  public void theBackoffStartsAnewAfterAMinuteWithoutThrottlingNotAfterAPassedTrial()
      throws Exception {
    attach(1, "grind");
    run(2, "grind", 100);
    run(12, "grind", 1);
    run(8, "grind", 20);
    assertFalse("the trial has passed", isThrottled("grind"));
    run(3, "grind", 100);
    assertEquals("not a new one", 1, messages.size());
    run(12, "grind", 1);
    assertTrue("20 s", isThrottled("grind"));
    run(10, "grind", 1);
    assertFalse(isThrottled("grind"));
    run(65, "grind", 20);
    run(3, "grind", 100);
    assertTrue(isThrottled("grind"));
    assertEquals("a new one", 2, messages.size());
    run(12, "grind", 1);
    assertFalse("10 s", isThrottled("grind"));
  }

  @Test
  public void noMethodIsRetriedSoonAfterOthersAreThrottled() throws Exception {
    attach(1, "grind", "sieve");
    run(2, "grind", 100);
    run(5, "grind", 1);
    run(2, "sieve", 100);
    assertTrue(isThrottled("grind") && isThrottled("sieve"));
    run(5, "rest", 0);
    assertTrue("its own backoff has expired", isThrottled("grind"));
    run(6, "rest", 0);
    assertFalse(isThrottled("grind"));
  }

  @Test
  public void aMethodThatNoTracerIsAttachedToIsNotThrottled() throws Exception {
    attach(1, "grind");
    run(2, "grind", 100);
    attach(0, "grind");
    now += POLL * 5;
    assertEquals(Set.of(traced), guard.poll(now));
    assertFalse(isThrottled("grind"));
    assertEquals(ProbeState.DORMANT, method("grind").unwovenState(ProbeKind.RETURN));
  }

  @Test
  public void allMethodsAreRetriedAtOnceIfTheLimitIsLifted() throws Exception {
    attach(1, "grind");
    run(2, "grind", 100);
    PublishedClass.setSemaphore(first, 0, 1);
    try {
      now += POLL;
      assertEquals(Set.of(traced), guard.poll(now));
      assertFalse(isThrottled("grind"));
      assertTrue(fires.allowance() > Long.MAX_VALUE / 4);
      run(10, "grind", 300);
      assertFalse(isThrottled("grind"));
    } finally {
      PublishedClass.setSemaphore(first, 0, 0);
    }
  }

  @Test
  public void theAllowanceIsTheRestOfTheBudget() throws Exception {
    busy(8, 8);
    attach(1, "grind");
    run(1, "grind", 40);
    double left = 2.45 * SECOND - first.gateWord(0, OverheadLayout.RECENT);
    assertEquals(left, fires.allowance(), 1);
  }

  @Test
  public void filteredCallsCostSomethingToo() throws Exception {
    attach(1, "grind");
    TracedMethod method = method("grind");
    method.setGateWord(Gate.LEAST_DURATION, 1);
    long filtered = SECOND / (5 + 2 * fires.clockNanos());
    for (int i = 0; i < 100; i++) {
      int word = Gate.filtered(ProbeKind.RETURN);
      method.setGateWord(word, method.gateWord(word) + filtered / 25);
      pass();
      guard.poll(now);
    }
    assertTrue(isThrottled("grind"));
  }

  @Test
  public void aRetiredMethodIsNotThrottled() throws Exception {
    attach(1, "grind");
    run(2, "grind", 100);
    TracedMethod grind = method("grind");
    catalog.retireAll();
    now += POLL * 5;
    guard.poll(now);
    assertFalse(grind.isThrottled());
    assertEquals(0, first.gateWord(0, OverheadLayout.THROTTLED_METHODS));
  }

  /** Lets the program be busy for six seconds before a tracer attaches. */
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
    return first.gateWord(0, OverheadLayout.RECENT) / (double) SECOND;
  }

  @Test
  public void underAQuotaTheLimitIsAThirdOfIt() throws Exception {
    busy(0.3, 0.3);
    attach(1, "grind", "sieve");
    run(30, "grind", 8);
    assertFalse(isThrottled("grind"));
    assertEquals(0.1, first.gateWord(0, OverheadLayout.LIMIT) / (double) SECOND, 1e-6);
    assertEquals(
        "requested", 0.5, first.gateWord(0, OverheadLayout.REQUESTED) / (double) SECOND, 1e-6);
    assertEquals(
        "available", 0.3, first.gateWord(0, OverheadLayout.AVAILABLE) / (double) SECOND, 1e-6);
    run(3, "grind", 28);
    assertTrue(isThrottled("grind"));
    assertTrue(spent() + " s", spent() < 0.5);
    assertTrue(
        messages.get(0),
        messages
            .get(0)
            .endsWith(
                "the limit for all probes is 10% (the program can get 0.30 cores; max-overhead"
                    + " is 50%); retry in 10 s"));
  }

  @Test
  public void aQuotaThatIsSetLaterTakesEffectWithinASecond() throws Exception {
    busy(2, 1);
    attach(1, "grind");
    run(20, "grind", 25);
    assertFalse(isThrottled("grind"));
    cores = 0.3;
    busy = 0.3;
    run(1.2, "grind", 25);
    assertTrue(isThrottled("grind"));
    assertEquals(0.1, first.gateWord(0, OverheadLayout.LIMIT) / (double) SECOND, 1e-6);
  }

  @Test
  public void inAProgramThatGetsLittleCpuTimeTheLimitIsAThirdOfIt() throws Exception {
    busy(2, 0.4);
    attach(1, "grind");
    run(20, "grind", 12);
    assertFalse(isThrottled("grind"));
    run(4, "grind", 36);
    assertTrue(isThrottled("grind"));
    assertTrue(spent() + " s", spent() < 0.7);
    assertTrue(
        messages.get(0),
        messages
            .get(0)
            .contains("is 13% (a third of the CPU time that the program has used; max-overhead"));
  }

  @Test
  public void inAnIdleProgramProbesMayCostFivePercentOfACore() throws Exception {
    busy(2, 0.05);
    attach(1, "grind");
    run(60, "grind", 4.5);
    assertFalse(isThrottled("grind"));
    assertEquals(0.05, first.gateWord(0, OverheadLayout.LIMIT_NOW) / (double) SECOND, 1e-6);
  }

  @Test
  public void aProgramThatWasBusyBeforeTheAgentWasLoadedIsNotTakenForAnIdleOne() throws Exception {
    cores = 2;
    busy = 1;
    age = 3_600 * SECOND;
    used = age;
    attach(1, "grind");
    run(2, "grind", 20);
    assertFalse(isThrottled("grind"));
    assertEquals(1 / 3.0, first.gateWord(0, OverheadLayout.LIMIT_NOW) / (double) SECOND, 0.04);
  }

  @Test
  public void aProgramThatStandsStillResumesBeforeHalfASecondIsSpent() throws Exception {
    busy(2, 1);
    attach(1, "grind");
    run(0.6, "grind", 97);
    assertTrue(isThrottled("grind"));
    assertTrue(spent() + " s", spent() < 0.5);
  }

  @Test
  public void throttledCallsCostSomethingToo() throws Exception {
    attach(1, "grind");
    TracedMethod method = method("grind");
    int word = Gate.throttled(ProbeKind.RETURN);
    method.setGateWord(word, 1_000_000);
    pass();
    guard.poll(now);
    assertEquals(1e6 * (15 + 2 * fires.clockNanos()), first.gateWord(0, OverheadLayout.RECENT), 1);
  }
}
