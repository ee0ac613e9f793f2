// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stapsdt.StapsdtException;
import java.util.Set;

/**
 * The agent's one thread: looks at the semaphores, publishes new probes, tells of changes. The
 * kernel raises a semaphore without waking anybody, so it has to be looked at; a look is one
 * vectorised comparison a stub library.
 */
public final class Watcher extends Thread {
  /** Weaving begins at most this long after a tracer has attached; contract: woven in 200 ms. */
  private static final long PERIOD_MILLIS = 40;

  private static final int LOOKS_A_SECOND = (int) (1000 / PERIOD_MILLIS);

  /** What the watcher reports to. All calls come from the watcher's thread. */
  public interface Listener {
    /** A class has got its probes, and this is its class file. */
    void published(TracedClass traced, byte[] classFile);

    /** Probes of these classes are listened to, or no longer: see {@link TracedClass#raised}. */
    void changed(Set<TracedClass> classes);

    /** After every look: time for whatever waits. */
    void looked();

    void failed(String what, Throwable reason);
  }

  private final Catalog catalog;
  private final Listener listener;
  private final Runnable eachSecond;

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
    for (long looks = 0; ; looks++) {
      try {
        Thread.sleep(PERIOD_MILLIS);
      } catch (InterruptedException e) {
        // Only an application that interrupts every thread does this; there is nothing to end.
        continue;
      }
      look(looks % LOOKS_A_SECOND == 0);
    }
  }

  private void look(boolean secondIsOver) {
    try {
      catalog.publishDue().forEach(listener::published);
    } catch (StapsdtException | RuntimeException | LinkageError e) {
      listener.failed("cannot publish probes", e);
    }
    try {
      Set<TracedClass> changed = catalog.changed();
      if (!changed.isEmpty()) {
        listener.changed(changed);
      }
      listener.looked();
      if (secondIsOver) {
        catalog.retireGone();
        eachSecond.run();
      }
    } catch (RuntimeException | LinkageError e) {
      listener.failed("cannot follow the probes' semaphores", e);
    }
  }
}
