// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stapsdt.StapsdtException;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * The agent's one thread: looks at the semaphores, publishes new probes, tells of changes. The
 * kernel raises a semaphore without waking anybody, so it has to be looked at; a look is one
 * vectorised comparison a stub library.
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
  public interface Listener extends Catalog.Listener {
    /** A class has got its probes, and this is its class file. */
    void published(TracedClass traced, byte[] classFile);

    /**
     * Probes of these classes are listened to, or no longer: see {@link TracedClass#raised}. Called
     * at every look, also with no classes: time for whatever waits.
     */
    void changed(Set<TracedClass> classes);

    void failed(String what, Throwable reason);
  }

  private final Catalog catalog;
  private final Listener listener;
  private final Runnable eachSecond;
  private final Set<TracedClass> changing = new LinkedHashSet<>();
  private long changingSince;
  private int seconds;

  public Watcher(Catalog catalog, Listener listener, Runnable eachSecond) {
    super(null, null, "jprobe-watcher", 0, false);
    this.catalog = catalog;
    this.listener = listener;
    this.eachSecond = eachSecond;
    setDaemon(true);
    setContextClassLoader(null);
  }

  @Override
  public void run() {
    long second = System.nanoTime();
    while (true) {
      try {
        Thread.sleep(changing.isEmpty() ? PERIOD_MILLIS : PERIOD_OF_CHANGE_MILLIS);
      } catch (InterruptedException e) {
        // Only an application that interrupts every thread does this; there is nothing to end.
        continue;
      }
      attempt("publish probes", () -> catalog.publishDue(listener).forEach(listener::published));
      attempt("follow the probes' semaphores", this::followSemaphores);
      if (System.nanoTime() - second > SECOND_NANOS) {
        second = System.nanoTime();
        attempt("tidy up", this::tidyUp);
      }
    }
  }

  private void followSemaphores() {
    Set<TracedClass> changed = catalog.changed();
    if (changing.isEmpty()) {
      changingSince = System.nanoTime();
    }
    changing.addAll(changed);
    if (changed.isEmpty() || System.nanoTime() - changingSince > CHANGE_PATIENCE_NANOS) {
      Set<TracedClass> settled = new LinkedHashSet<>(changing);
      changing.clear();
      listener.changed(settled);
    }
  }

  private void tidyUp() {
    catalog.retireGone();
    if (seconds++ % HIDDEN_PERIOD_SECONDS == 0) {
      catalog.listHidden();
    }
    eachSecond.run();
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
      listener.failed("cannot " + what, e);
    }
  }
}
