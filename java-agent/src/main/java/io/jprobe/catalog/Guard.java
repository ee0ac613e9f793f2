// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stapsdt.FireGuard;
import io.jprobe.stapsdt.StubLibrary;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Keeps what the probes cost the program below a limit: a share of one core, over any five seconds.
 * The cost is estimated from the hits that woven methods count and from what a hit takes, of which
 * they time some. Where it goes beyond, the methods that cost most are throttled: unwoven, though
 * somebody listens, until it is safe to try again. Should the limit be reached before the next
 * look, woven methods hold their calls back by themselves, and count them (src/main/c/fire.c).
 *
 * <p>All of it runs in the watcher's thread.
 */
public final class Guard {
  private static final long SECOND_NANOS = 1_000_000_000L;

  /** Between two looks at thousands of counts, where there is no haste. */
  private static final long PERIOD_NANOS = 200_000_000L;

  /** Of what the window allows so much is kept for weaving, unweaving and compiling anew. */
  private static final long WEAVING_NANOS = 50_000_000L;

  /** What a hit is taken to cost until some have been timed. */
  private static final long ASSUMED_HIT_NANOS = 1_000;

  /** So many samples make a new figure of what a hit costs. */
  private static final int ENOUGH_SAMPLES = 16;

  /** Words of the block that tells collectors; see manifest.proto. */
  private static final int LIMIT = 0;

  private static final int HIT_NANOS = 1;
  private static final int COST = 2;
  private static final int SPENT = 3;
  private static final int THROTTLED = 4;

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
  private StubLibrary library;
  private long hitNanos = ASSUMED_HIT_NANOS;
  private long samples;
  private long sampledNanos;
  private long cost;
  private long lastLook;
  private long toldLimit;
  private long allowed = FireGuard.UNLIMITED;
  private boolean isTrying;
  private boolean isResting = true;

  public Guard(Limits limits, FireGuard fires, Listener listener) {
    this.limits = limits;
    this.fires = fires;
    this.listener = listener;
    this.samples = fires.samples();
    this.sampledNanos = fires.sampledNanos();
  }

  /** From now on there are limits to be wished for, and somewhere to tell what is. */
  public void open(StubLibrary first) {
    library = first;
    publish(System.nanoTime(), limit());
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
        if (!method.listenedTo().isEmpty()) {
          ledgers.computeIfAbsent(method, one -> new Ledger(traced, one));
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

  /** The classes with methods that are throttled from now on, or no longer. */
  Set<TracedClass> look(long now) {
    if (library == null) {
      return Set.of();
    }
    long limit = limit();
    long elapsed = now - lastLook;
    boolean isIdle = isResting && ledgers.isEmpty();
    boolean isDue = elapsed >= PERIOD_NANOS || isResting || isInHaste();
    if (limit == toldLimit && (isIdle || !isDue)) {
      return Set.of();
    }
    lastLook = now;
    settle(now, isResting ? 0 : elapsed);
    Set<TracedClass> changed = new LinkedHashSet<>();
    dropUnheard(changed);
    if (limit == 0) {
      throttled().forEach(ledger -> tryAgain(ledger, now, changed));
    } else {
      throttleDearest(now, limit, changed);
      comeBack(now, limit, changed);
    }
    allow(limit == 0 ? FireGuard.UNLIMITED : (budget(limit) - window.spent(now)) / hitNanos);
    publish(now, limit);
    isTrying = ledgers.values().stream().anyMatch(Ledger::isOnTrial);
    isResting = ledgers.isEmpty() && window.spent(now) == 0;
    return changed;
  }

  /** What may be spent in a second, in ns; 0 for no limit. */
  private long limit() {
    return limits.percent(library.semaphores()) * (SECOND_NANOS / 100);
  }

  /** What hits may cost in the window. */
  private static long budget(long limit) {
    return limit * (CostWindow.SPAN_NANOS / SECOND_NANOS) - Math.min(limit, WEAVING_NANOS);
  }

  private void allow(long hits) {
    allowed = Math.max(hits, 0);
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
      samples += fresh;
      sampledNanos = nanos;
    }
  }

  /** Forgets methods that nobody listens to any more. */
  private void dropUnheard(Set<TracedClass> changed) {
    List<Ledger> unheard = new ArrayList<>(ledgers.values());
    unheard.removeIf(ledger -> !ledger.method.listenedTo().isEmpty());
    for (Ledger ledger : unheard) {
      ledgers.remove(ledger.method);
      if (ledger.isThrottled()) {
        ledger.method.setThrottled(false);
        changed.add(ledger.traced);
      }
    }
  }

  /** A loop, as all that runs before the program does: a lambda would cost it milliseconds. */
  private List<Ledger> throttled() {
    List<Ledger> throttled = new ArrayList<>();
    for (Ledger ledger : ledgers.values()) {
      if (ledger.isThrottled()) {
        throttled.add(ledger);
      }
    }
    return throttled;
  }

  /**
   * Half of what the window allows is for those that cost little: it is kept by acting when the
   * other half is spent, if the last second shows that it will not be enough.
   */
  private void throttleDearest(long now, long limit, Set<TracedClass> changed) {
    List<Ledger> woven = new ArrayList<>(ledgers.values());
    woven.removeIf(Ledger::isThrottled);
    List<Ledger> tooDear = new ArrayList<>();
    for (Ledger ledger : woven) {
      if (ledger.hasFailed(now, budget(limit) / 10, limit / 2)) {
        tooDear.add(ledger);
      }
    }
    long spent = window.spent(now);
    boolean isSpent = fires.allowance() <= 0 || spent >= budget(limit);
    boolean willBeSpent =
        spent > budget(limit) / 2 && window.spentInLastSecond(now) > limit + limit / 5;
    if (isSpent || willBeSpent) {
      woven.removeAll(tooDear);
      woven.sort(Comparator.comparingLong(Ledger::recent).reversed());
      long recent = woven.stream().mapToLong(Ledger::recent).sum();
      for (Ledger ledger : woven) {
        if (recent <= limit / 2) {
          break;
        }
        recent -= ledger.recent();
        tooDear.add(ledger);
      }
    }
    throttle(now, limit, tooDear, changed);
  }

  private void throttle(long now, long limit, List<Ledger> tooDear, Set<TracedClass> changed) {
    List<Ledger> news = new ArrayList<>(tooDear);
    news.removeIf(ledger -> !ledger.isFirstOffence());
    for (Ledger ledger : tooDear) {
      ledger.throttle(now);
      changed.add(ledger.traced);
    }
    if (!news.isEmpty()) {
      listener.throttled(describe(news, limit));
    }
  }

  private static String describe(List<Ledger> throttled, long limit) {
    Ledger dearest = throttled.get(0);
    return String.format(
        "throttled %s#%s%s: cost %d%% of a core in the last second, and all probes may cost %d%%"
            + " (max-overhead); tried again in %d s",
        dearest.traced.className(),
        dearest.method.name,
        throttled.size() == 1 ? "" : " and " + (throttled.size() - 1) + " more methods",
        throttled.stream().mapToLong(Ledger::recent).sum() / (SECOND_NANOS / 100),
        limit / (SECOND_NANOS / 100),
        dearest.restNanos() / SECOND_NANOS);
  }

  /** Tries the cheapest again: those that have rested, and fit into half of what is left. */
  private void comeBack(long now, long limit, Set<TracedClass> changed) {
    long left = limit - window.spentInLastSecond(now);
    boolean isQuiet = left > limit / 2 && window.spent(now) < budget(limit) / 2;
    if (!isQuiet || isTrying) {
      return;
    }
    List<Ledger> rested = throttled();
    rested.removeIf(ledger -> !ledger.hasRested(now));
    rested.sort(Comparator.comparingLong(Ledger::costWhenThrottled));
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

  private void publish(long now, long limit) {
    toldLimit = limit;
    library.setGateWord(0, LIMIT, limit);
    library.setGateWord(0, HIT_NANOS, hitNanos);
    library.setGateWord(0, COST, cost);
    library.setGateWord(0, SPENT, window.spent(now));
    library.setGateWord(0, THROTTLED, throttled().size());
  }
}
