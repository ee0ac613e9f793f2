// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stapsdt.StapsdtException;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * The thread that everything is decided in: looks at the semaphores, publishes new probes, tells of
 * changes, carries out commands. The kernel raises a semaphore without waking anybody, so it has to
 * be looked at; a look is one vectorised comparison a stub library.
 */
public final class Watcher extends Thread {
  /** A tracer that attaches is seen after this long at most; contract: woven within 200 ms. */
  private static final long PERIOD_MILLIS = 40;

  /**
   * While semaphores change. A tracer of many probes raises and drops them one by one, for some 100
   * ms; retransforming meanwhile would do the same classes, and stop the program, twice.
   */
  private static final long PERIOD_OF_CHANGE_MILLIS = 8;

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

    /** Time for what is to be done now and then. */
    void eachSecond() throws StapsdtException;

    void failed(String what, Throwable reason);
  }

  private final Catalog catalog;
  private final Guard guard;
  private final Listener listener;
  private final BlockingQueue<FutureTask<?>> commands = new LinkedBlockingQueue<>();
  private final Set<TracedClass> changing = new LinkedHashSet<>();
  private long changingSince;
  private int seconds;

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
    // Made once: where the program's heap is full, this thread has to go on without a new object.
    Step carryOut = this::carryOutCommands;
    Step publish = () -> catalog.publishDue(listener).forEach(listener::published);
    Step follow = this::followSemaphores;
    Step guardIt = this::guardProgram;
    Step tidyUp = this::tidyUp;
    long second = System.nanoTime();
    while (!hasEnded()) {
      attempt("wait for commands", carryOut);
      if (hasEnded()) {
        break;
      }
      attempt("publish probes", publish);
      attempt("follow the probes' semaphores", follow);
      attempt("guard the program", guardIt);
      if (System.nanoTime() - second > SECOND_NANOS) {
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

  /** Waits for the next look, or the next command. */
  private void carryOutCommands() {
    try {
      boolean isCalm = changing.isEmpty() && !guard.isInHaste();
      long period = isCalm ? PERIOD_MILLIS : PERIOD_OF_CHANGE_MILLIS;
      FutureTask<?> command = commands.poll(period, TimeUnit.MILLISECONDS);
      while (command != null) {
        command.run();
        command = commands.poll();
      }
    } catch (InterruptedException e) {
      // Only an application that interrupts every thread does this; there is nothing to end.
    }
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

  private void tidyUp() throws StapsdtException {
    catalog.retireGone();
    if (seconds++ % HIDDEN_PERIOD_SECONDS == 0) {
      catalog.listHidden();
    }
    listener.eachSecond();
  }

  /** What the watcher does at a look; it may fail, and the next look comes. */
  private interface Step {
    void run() throws StapsdtException;
  }

  private void attempt(String what, Step step) {
    try {
      step.run();
    } catch (Throwable e) {
      // Whatever it is, OutOfMemoryError included: without this thread nothing would be restored.
      tell(what, e);
    }
  }

  private void tell(String what, Throwable reason) {
    try {
      listener.failed("cannot " + what, reason);
    } catch (OutOfMemoryError e) {
      // Nor is there memory to say so, or to wait for a command: neither sleeping nor this takes
      // any.
      sleepForAPeriod();
    }
  }

  private static void sleepForAPeriod() {
    try {
      Thread.sleep(PERIOD_MILLIS);
    } catch (InterruptedException e) {
      // As above.
    }
  }
}
