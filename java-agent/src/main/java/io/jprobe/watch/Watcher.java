// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.Semaphores;
import io.jprobe.stub.StubException;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * The thread that everything is decided in: looks at the semaphores, publishes new probes, tells of
 * changes, carries out commands. The kernel raises a semaphore without waking anybody, so it has to
 * be looked at; a look is one comparison a stub library.
 */
public final class Watcher extends Thread {
  /** While somebody listens, or something waits, or has until lately. */
  private static final long PERIOD_NANOS = 40_000_000L;

  /**
   * In a program that nobody looks at. To wake up takes a tenth of a millisecond where the machine
   * is idle, whatever is done then; less than 0.1 % of a core is what 10,000 probes may cost. A
   * tracer that attaches is seen after this long at most; contract: woven within 200 ms.
   */
  private static final long CALM_PERIOD_NANOS = 150_000_000L;

  /** What is else done every second, and takes some of Java's time. */
  private static final int CALM_SECONDS = 3;

  private static final long CALM_AFTER_NANOS = 10_000_000_000L;

  /**
   * While semaphores change. A tracer of many probes raises and drops them one by one, for some 100
   * ms; retransforming meanwhile would do the same classes, and stop the program, twice.
   */
  private static final long PERIOD_OF_CHANGE_NANOS = 8_000_000L;

  private static final long CHANGE_PATIENCE_NANOS = 100_000_000L;

  /** A walk over all classes takes a millisecond or two. */
  private static final int HIDDEN_PERIOD_SECONDS = 10;

  private static final long SECOND_NANOS = 1_000_000_000L;

  /** What the watcher reports to. All calls come from the watcher's thread. */
  public interface Listener extends Catalog.Listener, Guard.Listener {
    /** A class has got its probes, and this is its class file. */
    void published(TracedClass traced, byte[] classFile);

    /**
     * Probes of these classes are listened to, or no longer: see {@link TracedClass#raised}. Called
     * at every look, also with no classes: time for whatever waits.
     */
    void changed(Set<TracedClass> classes);

    /** Whether there is something that waits for the next look. */
    boolean isWaiting();

    /** Time for what is to be done now and then. */
    void eachSecond() throws StubException;

    void failed(String what, Throwable reason);
  }

  private final Catalog catalog;
  private final Guard guard;
  private final Listener listener;
  private final BlockingQueue<FutureTask<?>> commands = new LinkedBlockingQueue<>();
  private final Set<TracedClass> changing = new LinkedHashSet<>();
  private long changingSince;
  private int seconds;
  private long second = System.nanoTime();
  private boolean mustLookAgain;
  private long lookAgainAt = second;
  private long calmSince = second;

  // Guarded by commands: whoever queues one is served, or told that nobody is there.
  private boolean isEnding;

  public Watcher(Catalog catalog, Guard guard, Listener listener) {
    super(null, null, "jprobe-watcher", 0, false);
    this.catalog = catalog;
    this.guard = guard;
    this.listener = listener;
    setDaemon(true);
    setContextClassLoader(null);
  }

  /**
   * Has a command carried out by the watcher's thread, at once, and gives its result.
   *
   * @throws IllegalStateException if the watcher has ended
   */
  public <T> T call(Callable<T> command) throws Exception {
    FutureTask<T> task = new FutureTask<>(command);
    synchronized (commands) {
      if (isEnding) {
        throw new IllegalStateException("the agent has been reset");
      }
      commands.add(task);
    }
    Semaphores.wake();
    try {
      return task.get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof Exception) {
        throw (Exception) e.getCause();
      }
      throw e;
    }
  }

  /** Ends the thread, after the command that says so. */
  public void end() {
    synchronized (commands) {
      isEnding = true;
    }
  }

  @Override
  public void run() {
    // The loop itself makes nothing, and what it needs is made here: the program may fill its heap
    // at any time, and this thread has to go on.
    Step look = new Look();
    while (!hasEnded()) {
      attempt("look", look);
    }
  }

  /** One look. */
  private final class Look implements Step {
    private final Step carryOut = Watcher.this::carryOutCommands;
    private final Step publish = () -> catalog.publishDue(listener).forEach(listener::published);
    private final Step follow = Watcher.this::followSemaphores;
    private final Step guardIt = Watcher.this::guardProgram;
    private final Step lookAgain = Watcher.this::lookAgain;
    private final Step tidyUp = Watcher.this::tidyUp;

    @Override
    public void run() {
      attempt("wait for commands", carryOut);
      if (hasEnded()) {
        return;
      }
      attempt("publish probes", publish);
      attempt("follow the probes' semaphores", follow);
      attempt("guard the program", guardIt);
      if (mustLookAgain && System.nanoTime() - lookAgainAt > 0) {
        attempt("make classes what they are to be", lookAgain);
      }
      if (System.nanoTime() - second >= SECOND_NANOS) {
        second = System.nanoTime();
        attempt("tidy up", tidyUp);
      }
    }
  }

  private boolean hasEnded() {
    synchronized (commands) {
      return isEnding && commands.isEmpty();
    }
  }

  private void carryOutCommands() {
    if (commands.isEmpty()) {
      waitForNextLook();
    }
    for (FutureTask<?> command; (command = commands.poll()) != null; ) {
      command.run();
    }
  }

  private void waitForNextLook() {
    if (!changing.isEmpty() || guard.isInHaste()) {
      Semaphores.awaitChange(PERIOD_OF_CHANGE_NANOS, PERIOD_OF_CHANGE_NANOS);
      return;
    }
    long now = System.nanoTime();
    if (guard.isAwake() || catalog.hasOffers() || listener.isWaiting()) {
      calmSince = now;
      Semaphores.awaitChange(PERIOD_NANOS, PERIOD_NANOS);
      return;
    }
    boolean isCalm = now - calmSince > CALM_AFTER_NANOS;
    long tidyUpIn = (isCalm ? CALM_SECONDS : 1) * SECOND_NANOS - (now - second);
    Semaphores.awaitChange(tidyUpIn, isCalm ? CALM_PERIOD_NANOS : PERIOD_NANOS);
  }

  private void followSemaphores() {
    Set<TracedClass> changed = catalog.changed();
    if (changed.isEmpty() && changing.isEmpty()) {
      listener.changed(changed);
      return;
    }
    guard.follow(changed);
    if (changing.isEmpty()) {
      changingSince = System.nanoTime();
    }
    changing.addAll(changed);
    if (changed.isEmpty() || System.nanoTime() - changingSince > CHANGE_PATIENCE_NANOS) {
      settle();
    }
  }

  /**
   * Where something failed, memory ran out for instance, what was seen to change may be lost. So
   * every class is compared with what its semaphores want.
   */
  private void lookAgain() {
    mustLookAgain = false;
    lookAgainAt = System.nanoTime() + SECOND_NANOS;
    changing.addAll(catalog.unsettled());
    settle();
  }

  private void settle() {
    Set<TracedClass> settled = new LinkedHashSet<>(changing);
    changing.clear();
    listener.changed(settled);
  }

  /** Has everything woven and restored that is to be, by now. For commands. */
  public void settleNow() {
    Set<TracedClass> changed = catalog.changed();
    guard.follow(changed);
    changing.addAll(changed);
    settle();
  }

  private void guardProgram() {
    Set<TracedClass> changed = guard.look(System.nanoTime());
    if (!changed.isEmpty()) {
      changing.addAll(changed);
      settle();
    }
  }

  /** Every second, or every few. */
  private void tidyUp() throws StubException {
    guard.eachSecond(System.nanoTime());
    catalog.retireGone();
    if (seconds++ % HIDDEN_PERIOD_SECONDS == 0) {
      catalog.listHidden();
    }
    listener.eachSecond();
  }

  /** What the watcher does at a look; it may fail, and the next look comes. */
  private interface Step {
    void run() throws StubException;
  }

  private void attempt(String what, Step step) {
    try {
      step.run();
    } catch (Throwable e) {
      // Whatever it is, OutOfMemoryError included: without this thread nothing would be restored.
      // What it was about to do is found again by what it has left undone.
      mustLookAgain = true;
      tell(what, e);
    }
  }

  private void tell(String what, Throwable reason) {
    try {
      listener.failed("cannot " + what, reason);
    } catch (Throwable e) {
      // Nor is there memory to say so, to load what that takes, or to wait for a command. Neither
      // sleeping nor this takes any.
      sleepForAPeriod();
    }
  }

  private static void sleepForAPeriod() {
    try {
      Thread.sleep(PERIOD_NANOS / 1_000_000);
    } catch (InterruptedException e) {
      // As above.
    }
  }
}
