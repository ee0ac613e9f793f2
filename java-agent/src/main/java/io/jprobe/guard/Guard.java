// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.catalog.TracedClass;
import io.jprobe.layout.OverheadLayout;
import io.jprobe.stub.Cpus;
import io.jprobe.stub.FireGuard;
import io.jprobe.stub.StubLibrary;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Keeps the cost of all probes below a limit over any five seconds ({@link Budget}). The cost is
 * estimated from the firings that woven methods count and from the cost of one firing, of which
 * they time some. Beyond the limit, the guard throttles the most expensive methods: they are
 * unwoven, although a tracer is attached, until a retry is safe. If the limit is reached between
 * two polls, woven methods stop firing on their own and count the throttled calls
 * (src/main/c/jni/fire.c).
 *
 * <p>Runs on the watcher thread only. Uses no lambdas, streams or formats: linking one takes
 * milliseconds. That becomes a second in a program that gets 0.1 of a core for many threads, and
 * the program stands still during that time.
 */
public final class Guard {
  private static final long SECOND_NANOS = 1_000_000_000L;

  /** Interval between two updates of thousands of counts, unless it is urgent. */
  private static final long PERIOD_NANOS = 200_000_000L;

  /** Receives the guard's messages. */
  public interface Listener {
    /** Called with a sentence: which methods are throttled, why, and until when. */
    void throttled(String message);
  }

  private final FireGuard fires;
  private final Listener listener;
  private final Budget budget;
  private final FiringCost firingCost;
  private final MethodCosts methods = new MethodCosts();
  private final CostWindow window = new CostWindow();
  private final RetryPause pause = new RetryPause();

  private StubLibrary library;
  private long cost;
  private long lastUpdate;
  private long publishedLimit;
  private long allowed = FireGuard.UNLIMITED;

  /** Messages that are delayed until the methods are unwoven: that is urgent, stderr may block. */
  private final List<String> messages = new ArrayList<>();

  private boolean isRehearsed;
  private boolean isTrying;

  /** True if no tracer is attached and nothing was spent in the window. */
  private boolean isIdle = true;

  public Guard(Limits limits, FireGuard fires, Listener listener) {
    this(limits, fires, null, listener);
  }

  /** Creates a guard that takes the program's CPU time from a given source. */
  Guard(Limits limits, FireGuard fires, Cpus cpus, Listener listener) {
    this.fires = fires;
    this.listener = listener;
    this.budget = new Budget(limits, cpus == null ? null : new CpuTime(cpus));
    this.firingCost = new FiringCost(fires);
  }

  /**
   * Starts guarding.
   *
   * @param first the library that has the limit probes, and the block that collectors read
   */
  public void open(StubLibrary first) {
    library = first;
    budget.updateLimit(library.semaphores());
    budget.assumeLimit();
    publish(System.nanoTime());
  }

  /** Stops guarding. Calls of woven methods that are still running need no allowance then. */
  public void close() {
    library = null;
    methods.clear();
    fires.allow(FireGuard.UNLIMITED);
  }

  /** Starts measuring the attached methods of classes that are about to be woven. */
  public void watch(Set<TracedClass> changed) {
    methods.addAttached(changed);
  }

  /** Returns true if costs have to be polled: a tracer is attached, or was until recently. */
  public boolean isAwake() {
    return library != null && !(isIdle && methods.isEmpty());
  }

  /** Returns true if the next poll should come sooner than usual. */
  public boolean isUrgent() {
    return isTrying || fires.allowance() < allowed / 2;
  }

  /** Keeps the CPU times and the limit up to date, also while no tracer is attached. */
  public void eachSecond(long now) {
    if (library != null) {
      if (!isRehearsed) {
        isRehearsed = true;
        rehearse();
      }
      budget.pollCpu(now, isAwake());
      if (isIdle) {
        // The next method that a tracer attaches to is woven before the guard polls again.
        budget.updateLimit(library.semaphores());
        setAllowance(now);
      }
    }
  }

  /** Loads the classes that throttling needs: when it begins, there may be no time for that. */
  private static void rehearse() {
    List<MethodCost> none = new ArrayList<>();
    MethodCosts.sortMostExpensiveFirst(none);
    MethodCosts.sortCheapestFirst(none);
  }

  /** Updates all costs, and returns the classes with methods to unweave or to weave again. */
  public Set<TracedClass> poll(long now) {
    if (library == null) {
      return Set.of();
    }
    deliverMessages();
    budget.updateLimit(library.semaphores());
    long elapsed = now - lastUpdate;
    boolean isDue = elapsed >= PERIOD_NANOS || isIdle || isUrgent();
    if (budget.limit() == publishedLimit && (!isAwake() || !isDue)) {
      return Set.of();
    }
    lastUpdate = now;
    budget.pollCpu(now, isAwake());
    budget.updateLimit(library.semaphores());
    updateCosts(now, isIdle ? 0 : elapsed);
    Set<TracedClass> changed = new LinkedHashSet<>();
    methods.removeDetached(changed);
    budget.update(now);
    if (budget.limit() == 0) {
      for (MethodCost method : methods.throttled()) {
        retry(method, now, changed);
      }
    } else {
      throttleMostExpensive(now, changed);
      retryCheapest(now, changed);
    }
    setAllowance(now);
    publish(now);
    isTrying = !methods.onTrial().isEmpty();
    if (methods.isEmpty()) {
      pause.reset();
    }
    isIdle = methods.isEmpty() && window.spent(now) == 0;
    return changed;
  }

  private void deliverMessages() {
    for (String message : messages) {
      listener.throttled(message);
    }
    messages.clear();
  }

  private void updateCosts(long now, long elapsed) {
    firingCost.update();
    long spent = methods.update(now, elapsed, firingCost);
    cost += spent;
    window.add(now, spent);
  }

  private void setAllowance(long now) {
    budget.update(now);
    allowed = budget.allowance(now, window);
    fires.allow(allowed);
  }

  /** Throttles failed trials and, if the budget is exceeded, the most expensive methods. */
  private void throttleMostExpensive(long now, Set<TracedClass> changed) {
    long rate = budget.rate();
    List<MethodCost> tooExpensive = new ArrayList<>();
    for (MethodCost method : methods.onTrial()) {
      if (method.hasFailedTrial(now, budget.total() / 10, rate / 2)) {
        tooExpensive.add(method);
      }
    }
    int failed = tooExpensive.size();
    if (fires.allowance() <= 0 || budget.isExceeded(now, window)) {
      List<MethodCost> woven = methods.woven();
      woven.removeAll(tooExpensive);
      MethodCosts.sortMostExpensiveFirst(woven);
      long recent = MethodCosts.recent(woven);
      for (MethodCost method : woven) {
        if (recent <= rate / 2) {
          break;
        }
        recent -= method.recent();
        tooExpensive.add(method);
      }
      if (tooExpensive.size() > failed) {
        pause.begin(now);
      }
    }
    throttle(now, tooExpensive, changed);
  }

  private void throttle(long now, List<MethodCost> tooExpensive, Set<TracedClass> changed) {
    List<MethodCost> unreported = new ArrayList<>();
    for (MethodCost method : tooExpensive) {
      if (method.isFirstThrottling(now)) {
        unreported.add(method);
      }
      methods.throttle(method, now);
      changed.add(method.traced);
    }
    if (!unreported.isEmpty()) {
      messages.add(describe(unreported));
    }
  }

  private String describe(List<MethodCost> throttled) {
    MethodCost first = throttled.get(0);
    int others = throttled.size() - 1;
    String more = others == 0 ? "" : " and " + others + " more method" + (others == 1 ? "" : "s");
    return "throttled "
        + first.traced.className()
        + "#"
        + first.method.name
        + more
        + ": cost "
        + percent(MethodCosts.recent(throttled))
        + "% of a core in the last second, and the limit for all probes is "
        + budget.describe()
        + "; retry in "
        + first.backoffNanos() / SECOND_NANOS
        + " s";
  }

  /** Returns a cost per second in percent of a core. */
  private static String percent(long nanos) {
    long percent = nanos / Budget.PERCENT_NANOS;
    return percent > 0 ? Long.toString(percent) : "less than 1";
  }

  /** Retries the cheapest methods whose backoff has expired and that fit into half of the rest. */
  private void retryCheapest(long now, Set<TracedClass> changed) {
    long rate = budget.rate();
    long left = rate - window.spentInLastSecond(now);
    boolean isQuiet = left > rate / 2 && window.spent(now) < budget.total() / 2;
    if (!isQuiet || isTrying || pause.isOn(now)) {
      return;
    }
    List<MethodCost> candidates = new ArrayList<>();
    for (MethodCost method : methods.throttled()) {
      if (method.isBackoffExpired(now)) {
        candidates.add(method);
      }
    }
    if (!candidates.isEmpty()) {
      pause.retried(now);
    }
    MethodCosts.sortCheapestFirst(candidates);
    long expected = 0;
    for (MethodCost method : candidates) {
      expected += method.costWhenThrottled();
      // Always retry the cheapest, whatever it cost: a failing trial is stopped early.
      if (expected > left / 2 && method != candidates.get(0)) {
        break;
      }
      retry(method, now, changed);
    }
  }

  private void retry(MethodCost method, long now, Set<TracedClass> changed) {
    methods.retry(method, now);
    changed.add(method.traced);
  }

  private void publish(long now) {
    long available = budget.available();
    publishedLimit = budget.limit();
    library.setGateWord(0, OverheadLayout.LIMIT, budget.limit());
    library.setGateWord(0, OverheadLayout.FIRING_NANOS, firingCost.average());
    library.setGateWord(0, OverheadLayout.DIRECT_NANOS, firingCost.directNanos());
    library.setGateWord(0, OverheadLayout.TOTAL, cost);
    library.setGateWord(0, OverheadLayout.RECENT, window.spent(now));
    library.setGateWord(0, OverheadLayout.THROTTLED_METHODS, methods.throttled().size());
    library.setGateWord(0, OverheadLayout.REQUESTED, budget.percent() * Budget.PERCENT_NANOS);
    library.setGateWord(0, OverheadLayout.AVAILABLE, available == Cpus.UNLIMITED ? 0 : available);
    library.setGateWord(0, OverheadLayout.LIMIT_NOW, budget.rate());
  }
}
