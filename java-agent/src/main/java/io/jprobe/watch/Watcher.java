// SPDX-License-Identifier: Apache-2.0
package io.jprobe.watch;

import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.TracedClass;
import io.jprobe.guard.Guard;
import io.jprobe.stub.StubException;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.Callable;

/**
 * Makes all of the agent's decisions in one thread: polls the semaphores, publishes new probes,
 * notifies the listener and executes commands. The kernel increments a semaphore without a
 * notification, hence the polling. One poll costs one comparison per stub library.
 */
public final class Watcher extends Thread {
  /** Maximum time for which changed classes wait until the semaphores stop changing. */
  private static final long CHANGE_TIMEOUT_NANOS = 100_000_000L;

  /** Interval between scans for hidden classes. A scan takes 1 to 2 ms. */
  private static final int HIDDEN_PERIOD_SECONDS = 10;

  private static final long SECOND_NANOS = PollTimer.SECOND_NANOS;

  /** Receives the watcher's notifications. All calls are made by the watcher thread. */
  public interface Listener extends Catalog.Listener, Guard.Listener {
    /** Called after the probes of a class were published. */
    void published(TracedClass traced, byte[] classFile);

    /**
     * Called when the wanted probes of these classes have changed: see {@link TracedClass#wanted}.
     * Also called at every poll without classes, so that pending work can continue.
     */
    void changed(Set<TracedClass> classes);

    /** Returns true if work is pending for the next poll. */
    boolean isWaiting();

    /** Returns true if the next poll can continue this work at once. */
    boolean isReady();

    /** Called every second, or every few if the program is not traced. */
    void eachSecond() throws StubException;

    /** Called with a sentence if probes cannot be traced through shared memory. */
    void withoutMemory(String message);

    /** Called when a task of the watcher has failed. */
    void failed(String message, Throwable reason);
  }

  private final Catalog catalog;
  private final Guard guard;
  private final Listener listener;
  private final CommandQueue commands = new CommandQueue();
  private final PollTimer timer = new PollTimer();

  /** Classes to notify the listener of when the semaphores stop changing. */
  private final Set<TracedClass> changing = new LinkedHashSet<>();

  private long changingSince;
  private int seconds;
  private long housekeptAt = System.nanoTime();
  private boolean mustRecheck;
  private long recheckAt = housekeptAt;

  public Watcher(Catalog catalog, Guard guard, Listener listener) {
    super(null, null, "jprobe-watcher", 0, false);
    this.catalog = catalog;
    this.guard = guard;
    this.listener = listener;
    setDaemon(true);
    setContextClassLoader(null);
  }

  /**
   * Executes a command in the watcher thread, at once, and returns its result.
   *
   * @throws IllegalStateException if the watcher has shut down
   */
  public <T> T call(Callable<T> command) throws Exception {
    return commands.call(command);
  }

  /** Ends the thread after the current command. */
  public void shutDown() {
    commands.close();
  }

  @Override
  public void run() {
    // Allocates all that the loop needs: the program may fill its heap at any time, and this thread
    // must keep running.
    Task poll = new Poll();
    while (!commands.isFinished()) {
      attempt("poll", poll);
    }
  }

  /** One iteration of the loop. */
  private final class Poll implements Task {
    private final Task execute = Watcher.this::executeCommands;
    private final Task publish = () -> catalog.publishDue(listener).forEach(listener::published);
    private final Task pollSemaphores = Watcher.this::pollSemaphores;
    private final Task pollGuard = Watcher.this::pollGuard;
    private final Task recheck = Watcher.this::recheck;
    private final Task housekeep = Watcher.this::housekeep;

    @Override
    public void run() {
      attempt("wait for commands", execute);
      if (commands.isFinished()) {
        return;
      }
      attempt("publish probes", publish);
      attempt("poll the semaphores", pollSemaphores);
      attempt("check the cost of the probes", pollGuard);
      if (mustRecheck && System.nanoTime() - recheckAt > 0) {
        attempt("weave and restore classes", recheck);
      }
      if (System.nanoTime() - housekeptAt >= SECOND_NANOS) {
        housekeptAt = System.nanoTime();
        attempt("clean up", housekeep);
      }
    }
  }

  private void executeCommands() {
    if (commands.isEmpty()) {
      awaitNextPoll();
    }
    commands.execute();
  }

  private void awaitNextPoll() {
    if (!changing.isEmpty() || guard.isUrgent() || listener.isReady()) {
      timer.awaitUrgent();
    } else if (guard.isAwake()
        || catalog.hasQueuedClasses()
        || catalog.direct.isReleasing()
        || listener.isWaiting()) {
      timer.awaitActive();
    } else {
      timer.awaitIdle(housekeptAt);
    }
  }

  private void pollSemaphores() {
    Set<TracedClass> changed = pollCatalog();
    if (changed.isEmpty() && changing.isEmpty()) {
      listener.changed(changed);
      return;
    }
    guard.watch(changed);
    if (changing.isEmpty()) {
      changingSince = System.nanoTime();
    }
    changing.addAll(changed);
    if (changed.isEmpty() || System.nanoTime() - changingSince > CHANGE_TIMEOUT_NANOS) {
      notifyListener();
    }
  }

  private Set<TracedClass> pollCatalog() {
    Set<TracedClass> changed = catalog.poll();
    String problem = catalog.direct.takeUnreported();
    if (problem != null) {
      listener.withoutMemory(problem);
    }
    return changed;
  }

  /** Compares every class with its semaphores: a failed task may have lost a detected change. */
  private void recheck() {
    mustRecheck = false;
    recheckAt = System.nanoTime() + SECOND_NANOS;
    changing.addAll(catalog.outdated());
    notifyListener();
  }

  private void notifyListener() {
    Set<TracedClass> changed = new LinkedHashSet<>(changing);
    changing.clear();
    listener.changed(changed);
  }

  /** Polls the semaphores and notifies the listener at once. For commands. */
  public void pollNow() {
    Set<TracedClass> changed = pollCatalog();
    guard.watch(changed);
    changing.addAll(changed);
    notifyListener();
  }

  private void pollGuard() {
    Set<TracedClass> changed = guard.poll(System.nanoTime());
    if (!changed.isEmpty()) {
      changing.addAll(changed);
      notifyListener();
    }
  }

  private void housekeep() throws StubException {
    guard.eachSecond(System.nanoTime());
    catalog.dropUnloaded();
    if (seconds++ % HIDDEN_PERIOD_SECONDS == 0) {
      catalog.listHidden();
    }
    listener.eachSecond();
  }

  /** A part of a poll. It may fail; the next poll comes anyway. */
  private interface Task {
    void run() throws StubException;
  }

  private void attempt(String name, Task task) {
    try {
      task.run();
    } catch (Throwable e) {
      // Catches everything, OutOfMemoryError included: without this thread, no class would be
      // restored. The recheck finds what the task has left undone.
      mustRecheck = true;
      report(name, e);
    }
  }

  private void report(String name, Throwable reason) {
    try {
      listener.failed("cannot " + name, reason);
    } catch (Throwable e) {
      // Memory does not suffice for the message or for a class that it needs. Waiting for a command
      // may need memory too; sleeping does not.
      sleepForAPeriod();
    }
  }

  private static void sleepForAPeriod() {
    try {
      Thread.sleep(PollTimer.PERIOD_NANOS / 1_000_000);
    } catch (InterruptedException e) {
      // The next poll comes sooner.
    }
  }
}
