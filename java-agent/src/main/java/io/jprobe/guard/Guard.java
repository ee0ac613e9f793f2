// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.Cpus;
import io.jprobe.stub.FireGuard;
import io.jprobe.stub.StubLibrary;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Keeps what the probes cost the program below a limit: a share of one core, and of the CPU time
 * that the program can get and gets, over any five seconds ({@link Limits}, {@link CpuTime}). The
 * cost is estimated from the hits that woven methods count and from what a hit takes, of which they
 * time some. Where it goes beyond, the methods that cost most are throttled: unwoven, though
 * somebody listens, until it is safe to try again. Should the limit be reached before the next
 * look, woven methods hold their calls back by themselves, and count them (src/main/c/jni/fire.c).
 *
 * <p>All of it runs in the watcher's thread. Without lambdas, streams and formats: to link one
 * takes milliseconds, which are a second where the program has a tenth of a core and many threads,
 * and meanwhile it stands still.
 */
public final class Guard {
  private static final long SECOND_NANOS = 1_000_000_000L;

  /** One percent of a core, in a second. */
  private static final long PERCENT_NANOS = SECOND_NANOS / 100;

  /** Of the window. */
  private static final long SECONDS = CostWindow.SPAN_NANOS / SECOND_NANOS;

  /** Between two looks at thousands of counts, where there is no haste. */
  private static final long PERIOD_NANOS = 200_000_000L;

  /** Of what the window allows so much is kept for weaving, unweaving and compiling anew. */
  private static final long WEAVING_NANOS = 50_000_000L;

  /** What a hit is taken to cost until some have been timed. */
  private static final long ASSUMED_HIT_NANOS = 1_000;

  /** So many samples make a new figure of what a hit costs. */
  private static final int ENOUGH_SAMPLES = 16;

  /** What unweaving a method and compiling it anew takes. */
  private static final long UNWEAVING_NANOS = 20_000_000L;

  /** Of a second: two periods of the watcher. */
  private static final long LATE_PERCENT = 8;

  /** A program that uses one part of so many of the CPU time that it can get is busy. */
  private static final int BUSY_PART = 6;

  /** Words of the block that tells collectors; see manifest.proto. */
  private static final int LIMIT = 0;

  private static final int HIT_NANOS = 1;
  private static final int COST = 2;
  private static final int SPENT = 3;
  private static final int THROTTLED = 4;
  private static final int ASKED = 5;
  private static final int AVAILABLE = 6;
  private static final int LIMIT_NOW = 7;

  /** Classes of their own, and loaded when they are needed: before main nothing is to be sorted. */
  private static final class DearestFirst implements Comparator<Ledger> {
    @Override
    public int compare(Ledger one, Ledger other) {
      return Long.compare(other.recent(), one.recent());
    }
  }

  private static final class CheapestFirst implements Comparator<Ledger> {
    @Override
    public int compare(Ledger one, Ledger other) {
      return Long.compare(one.costWhenThrottled(), other.costWhenThrottled());
    }
  }

  /** What the guard has to say. */
  public interface Listener {
    /** A sentence: which methods are throttled, why, and until when. */
    void throttled(String what);
  }

  private final Limits limits;
  private final FireGuard fires;
  private final Listener listener;
  private final Map<TracedMethod, Ledger> ledgers = new LinkedHashMap<>();
  private final CostWindow window = new CostWindow();

  /** Null until the watcher first looks: before main nothing is read of the machine. */
  private CpuTime cpu;

  private StubLibrary library;
  private long hitNanos = ASSUMED_HIT_NANOS;
  private long samples;
  private long sampledNanos;
  private long cost;
  private long lastLook;
  private long toldLimit;
  private long allowed = FireGuard.UNLIMITED;

  /** Of this look: the limit in percent, and in ns a second of what the program can get. */
  private int percent;

  private long limit;

  /** In ns: of what the program got in the last five seconds, and of both, in these and in one. */
  private long share;

  private long budget;
  private long rate;

  /** Said once the methods are unwoven: that is urgent, and stderr may take long. */
  private final List<String> unsaid = new ArrayList<>();

  private boolean isRehearsed;
  private boolean isTrying;
  private boolean isResting = true;

  public Guard(Limits limits, FireGuard fires, Listener listener) {
    this(limits, fires, null, listener);
  }

  /** With what the program can get and gets from elsewhere. */
  Guard(Limits limits, FireGuard fires, Cpus cpus, Listener listener) {
    this.limits = limits;
    this.fires = fires;
    this.cpu = cpus == null ? null : new CpuTime(cpus);
    this.listener = listener;
    this.samples = fires.samples();
    this.sampledNanos = fires.sampledNanos();
    fires.setHitNanos(hitNanos);
  }

  /** From now on there are limits to be wished for, and somewhere to tell what is. */
  public void open(StubLibrary first) {
    library = first;
    setLimit();
    rate = limit;
    publish(System.nanoTime());
  }

  /** The agent ends: calls of woven methods that are still under way need no allowance. */
  public void close() {
    library = null;
    ledgers.clear();
    fires.allow(FireGuard.UNLIMITED);
  }

  /** Classes of which somebody has begun or ceased to listen to a probe, before they are woven. */
  void follow(Set<TracedClass> changed) {
    for (TracedClass traced : changed) {
      for (TracedMethod method : traced.methods()) {
        if (!method.listenedTo().isEmpty() && !ledgers.containsKey(method)) {
          ledgers.put(method, new Ledger(traced, method));
        }
      }
    }
  }

  /** Whether there is anything to look at: somebody listens, or has until just now. */
  boolean isAwake() {
    return library != null && !(isResting && ledgers.isEmpty());
  }

  /** Whether the next look should come sooner than usual. */
  boolean isInHaste() {
    return isTrying || fires.allowance() < allowed / 2;
  }

  /** Follows what the program uses and can get also while nobody listens. */
  void eachSecond(long now) {
    if (library != null) {
      if (!isRehearsed) {
        isRehearsed = true;
        rehearse();
      }
      lookAtCpu(now);
      if (isResting) {
        // For who attaches next: the method is woven before the guard looks again.
        setLimit();
        setAllowance(now);
      }
    }
  }

  /** Has the JVM load what throttling takes: then there may be no time for it. */
  private static void rehearse() {
    List<Ledger> none = new ArrayList<>();
    none.sort(new DearestFirst());
    none.sort(new CheapestFirst());
  }

  /** The classes with methods that are throttled from now on, or no longer. */
  Set<TracedClass> look(long now) {
    if (library == null) {
      return Set.of();
    }
    say();
    setLimit();
    long elapsed = now - lastLook;
    boolean isIdle = isResting && ledgers.isEmpty();
    boolean isDue = elapsed >= PERIOD_NANOS || isResting || isInHaste();
    if (limit == toldLimit && (isIdle || !isDue)) {
      return Set.of();
    }
    lastLook = now;
    lookAtCpu(now);
    setLimit();
    settle(now, isResting ? 0 : elapsed);
    Set<TracedClass> changed = new LinkedHashSet<>();
    dropUnheard(changed);
    setBudget(now);
    if (limit == 0) {
      for (Ledger ledger : throttled()) {
        tryAgain(ledger, now, changed);
      }
    } else {
      throttleDearest(now, changed);
      comeBack(now, changed);
    }
    setAllowance(now);
    publish(now);
    isTrying = false;
    for (Ledger ledger : ledgers.values()) {
      isTrying |= ledger.isOnTrial();
    }
    isResting = ledgers.isEmpty() && window.spent(now) == 0;
    return changed;
  }

  private void say() {
    for (String one : unsaid) {
      listener.throttled(one);
    }
    unsaid.clear();
  }

  private void lookAtCpu(long now) {
    if (cpu == null) {
      cpu = new CpuTime(new Cpus(""));
    }
    cpu.look(now, isAwake());
  }

  private void setLimit() {
    percent = limits.percent(library.semaphores());
    limit = Limits.nanosPerSecond(percent, available());
  }

  private long available() {
    return cpu == null ? Cpus.UNLIMITED : cpu.available();
  }

  /** What hits may cost in the window, of what the program can get, and of what it got. */
  private void setBudget(long now) {
    share = Limits.shareOf(percent, cpu.used(now), CostWindow.SPAN_NANOS);
    budget = Math.min(limit * SECONDS - Math.min(limit, WEAVING_NANOS), share);
    rate = Math.min(limit, share / SECONDS);
  }

  private void setAllowance(long now) {
    setBudget(now);
    long nanos = Math.min(budget - window.spent(now), untilNextLook());
    allow(limit == 0 ? FireGuard.UNLIMITED : nanos);
  }

  /**
   * What hits may cost before the guard looks again. In time, they cannot cost so much; but with
   * little CPU time and many threads, the watcher waits for its turn while the program fires.
   */
  private long untilNextLook() {
    return Math.max(share / 4 - unweaving(), available() / 100 * LATE_PERCENT);
  }

  /** Of the CPU time of a program that gets little, the way out takes a large part. */
  private long unweaving() {
    return Math.min(share / 10, UNWEAVING_NANOS);
  }

  private void allow(long nanos) {
    allowed = Math.max(nanos, 0);
    fires.allow(allowed);
  }

  /** Takes what was spent since the last look into the books. */
  private void settle(long now, long elapsed) {
    timeHits();
    long spent = 0;
    for (Ledger ledger : ledgers.values()) {
      spent += ledger.settle(elapsed, hitNanos, fires.clockNanos());
      if (ledger.isThrottled()) {
        ledger.rest(elapsed);
      }
      ledger.endTrial(now);
    }
    cost += spent;
    window.add(now, spent);
  }

  private void timeHits() {
    long fresh = fires.samples() - samples;
    if (fresh >= ENOUGH_SAMPLES) {
      long nanos = fires.sampledNanos();
      hitNanos = Math.max((nanos - sampledNanos) / fresh, 1);
      fires.setHitNanos(hitNanos);
      samples += fresh;
      sampledNanos = nanos;
    }
  }

  /** Forgets methods that nobody listens to any more. */
  private void dropUnheard(Set<TracedClass> changed) {
    for (Ledger ledger : new ArrayList<>(ledgers.values())) {
      if (!ledger.method.listenedTo().isEmpty()) {
        continue;
      }
      ledgers.remove(ledger.method);
      if (ledger.isThrottled()) {
        ledger.method.setThrottled(false);
        changed.add(ledger.traced);
      }
    }
  }

  private List<Ledger> throttled() {
    return select(true);
  }

  private List<Ledger> select(boolean areThrottled) {
    List<Ledger> selected = new ArrayList<>();
    for (Ledger ledger : ledgers.values()) {
      if (ledger.isThrottled() == areThrottled) {
        selected.add(ledger);
      }
    }
    return selected;
  }

  private static long recent(List<Ledger> ledgers) {
    long recent = 0;
    for (Ledger ledger : ledgers) {
      recent += ledger.recent();
    }
    return recent;
  }

  /**
   * Half of what the window allows is for those that cost little: it is kept by acting when the
   * other half is spent, if the last second shows that it will not be enough.
   */
  private void throttleDearest(long now, Set<TracedClass> changed) {
    List<Ledger> woven = select(false);
    List<Ledger> tooDear = new ArrayList<>();
    for (Ledger ledger : woven) {
      if (ledger.hasFailed(now, budget / 10, rate / 2)) {
        tooDear.add(ledger);
      }
    }
    long spent = window.spent(now);
    boolean isSpent = fires.allowance() <= 0 || spent >= budget;
    boolean willBeSpent = spent > budget / 2 && window.spentInLastSecond(now) > rate + rate / 5;
    if (isSpent || willBeSpent || spent > share / 5 - unweaving() && isOverrun(now)) {
      woven.removeAll(tooDear);
      woven.sort(new DearestFirst());
      long recent = recent(woven);
      for (Ledger ledger : woven) {
        if (recent <= rate / 2) {
          break;
        }
        recent -= ledger.recent();
        tooDear.add(ledger);
      }
    }
    throttle(now, tooDear, changed);
  }

  /**
   * Whether the program is as busy as before, and hits take far more than their share of that just
   * now. Of a program that is not busy, probes may take most.
   */
  private boolean isOverrun(long now) {
    long before = cpu.used(now) / SECONDS;
    long justNow = cpu.usedJustNow(now);
    return before > Math.min(available(), SECOND_NANOS) / BUSY_PART
        && justNow > CostWindow.perMoment(before) / 2
        && window.spentJustNow(now) > Limits.farAboveShare(justNow);
  }

  private void throttle(long now, List<Ledger> tooDear, Set<TracedClass> changed) {
    List<Ledger> news = new ArrayList<>();
    for (Ledger ledger : tooDear) {
      if (ledger.isFirstOffence()) {
        news.add(ledger);
      }
      ledger.throttle(now);
      changed.add(ledger.traced);
    }
    if (!news.isEmpty()) {
      unsaid.add(describe(news));
    }
  }

  private String describe(List<Ledger> throttled) {
    Ledger dearest = throttled.get(0);
    String more = throttled.size() == 1 ? "" : " and " + (throttled.size() - 1) + " more methods";
    return "throttled "
        + dearest.traced.className()
        + "#"
        + dearest.method.name
        + more
        + ": cost "
        + recent(throttled) / PERCENT_NANOS
        + "% of a core in the last second, and all probes may cost "
        + describeLimit()
        + "; tried again in "
        + dearest.restNanos() / SECOND_NANOS
        + " s";
  }

  /** What holds, and why it is not what was asked for. */
  private String describeLimit() {
    long told = Math.max(rate / PERCENT_NANOS, 1);
    if (rate >= percent * PERCENT_NANOS) {
      return told + "% (max-overhead)";
    }
    String why = "a third of the CPU time that the program has used";
    // What a program with a quota uses up is a little less than that.
    if (rate > limit - limit / 8) {
      long hundredths = available() / PERCENT_NANOS;
      String fraction = hundredths % 100 < 10 ? ".0" : ".";
      why = "the program can get " + hundredths / 100 + fraction + hundredths % 100 + " cores";
    }
    return told + "% (" + why + "; max-overhead is " + percent + "%)";
  }

  /** Tries the cheapest again: those that have rested, and fit into half of what is left. */
  private void comeBack(long now, Set<TracedClass> changed) {
    long left = rate - window.spentInLastSecond(now);
    boolean isQuiet = left > rate / 2 && window.spent(now) < budget / 2;
    if (!isQuiet || isTrying) {
      return;
    }
    List<Ledger> rested = new ArrayList<>();
    for (Ledger ledger : throttled()) {
      if (ledger.hasRested(now)) {
        rested.add(ledger);
      }
    }
    rested.sort(new CheapestFirst());
    long expected = 0;
    for (Ledger ledger : rested) {
      expected += ledger.costWhenThrottled();
      // One is tried whatever it has cost: a trial ends long before that hurts.
      if (expected > left / 2 && ledger != rested.get(0)) {
        break;
      }
      tryAgain(ledger, now, changed);
    }
  }

  private void tryAgain(Ledger ledger, long now, Set<TracedClass> changed) {
    ledger.tryAgain(now);
    changed.add(ledger.traced);
  }

  private void publish(long now) {
    toldLimit = limit;
    library.setGateWord(0, LIMIT, limit);
    library.setGateWord(0, HIT_NANOS, hitNanos);
    library.setGateWord(0, COST, cost);
    library.setGateWord(0, SPENT, window.spent(now));
    library.setGateWord(0, THROTTLED, throttled().size());
    library.setGateWord(0, ASKED, percent * PERCENT_NANOS);
    library.setGateWord(0, AVAILABLE, available() == Cpus.UNLIMITED ? 0 : available());
    library.setGateWord(0, LIMIT_NOW, rate);
  }
}
