// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.SupertypeNames;
import io.jprobe.catalog.TracedClass;
import io.jprobe.stub.PreparedClasses;
import io.jprobe.stub.StubException;

/**
 * Lets the program wait until a collector has attached to its probes: main, and each selected class
 * that is loaded later, before any of its code runs. So the first call of a method is traced too.
 *
 * <p>Every wait has a limit, because the collector may be stopped, and ends when the collector
 * disconnects. If the collector is late several times, no class waits any more.
 */
final class Hold implements PreparedClasses.Listener {
  private static final long SECOND_NANOS = 1_000_000_000L;

  /** Maximum time for which a class waits. A collector on an idle machine takes about 50 ms. */
  private static final long CLASS_NANOS = 5 * SECOND_NANOS;

  /** Total time of waits that have reached their limit, after which no class waits any more. */
  private static final long LATE_NANOS = 20 * SECOND_NANOS;

  /** Time after which the program begins if the collector disconnects before main. */
  private static final long GRACE_NANOS = 2 * SECOND_NANOS;

  /** Time between two looks at a class that is being read or woven by the watcher thread. */
  private static final long PERIOD_MILLIS = 2;

  private final Catalog catalog;

  /** The client that attaches to classes as they are loaded; null for none. */
  private volatile Object collector;

  // Guarded by this.
  private boolean isOpen;
  private int attached;
  private int published;
  private long begunBy;
  private boolean isLate;
  private long lateNanos;

  Hold(Catalog catalog) {
    this.catalog = catalog;
  }

  /** Waits for the first collector, at most for this time. Called before main. */
  void awaitCollector(int seconds) {
    boolean isInterrupted = false;
    boolean hasCome;
    synchronized (this) {
      isOpen = true;
      begunBy = System.nanoTime() + seconds * SECOND_NANOS;
    }
    // Links the code of prepared() while no class is being loaded that this may need.
    catalog.maySelect(Hold.class, new SupertypeNames());
    // Before any class of the program is loaded.
    PreparedClasses.reportTo(this);
    synchronized (this) {
      while (collector == null && isOpen && System.nanoTime() - begunBy < 0) {
        isInterrupted |= pause((begunBy - System.nanoTime()) / 1_000_000 + 1);
      }
      hasCome = collector != null;
    }
    restore(isInterrupted);
    if (!hasCome) {
      end();
      Log.line(
          "no collector has attached to this program within "
              + seconds
              + " s, or it has disconnected; the program begins untraced");
    }
  }

  /**
   * The client has attached to all that it wants of the libraries before this one, and that is
   * armed by now.
   */
  synchronized void attached(Object client, int next) throws StubException {
    if (!isOpen) {
      throw new StubException("the program waits for no collector");
    }
    collector = client;
    attached = Math.max(attached, next);
    isLate = false;
    notifyAll();
  }

  /** Returns when a class waits for a library from this one on, or after a second. */
  synchronized void awaitClass(int next) {
    long end = System.nanoTime() + SECOND_NANOS;
    while (published <= next && isOpen && System.nanoTime() - end < 0) {
      pause((end - System.nanoTime()) / 1_000_000 + 1);
    }
  }

  /**
   * Called when a client has disconnected.
   *
   * @param isLast true if no other is connected
   */
  void disconnected(Object client, boolean isLast) {
    if (client == collector) {
      end();
    } else if (collector == null && isLast) {
      beginSoon();
    }
  }

  /** The collector may be about to end a program that it cannot trace, before main. */
  private synchronized void beginSoon() {
    long soon = System.nanoTime() + GRACE_NANOS;
    if (soon - begunBy < 0) {
      begunBy = soon;
      notifyAll();
    }
  }

  /** Lets everything go on, for good. */
  void end() {
    synchronized (this) {
      isOpen = false;
      collector = null;
      notifyAll();
    }
    PreparedClasses.stop();
  }

  @Override
  public void prepared(Class<?> type) {
    // The agent's own threads do what the others wait for.
    if (collector == null || Thread.currentThread().getName().startsWith("jprobe-")) {
      return;
    }
    // Hidden classes have a slash in their names, and no probes.
    if (type.getName().indexOf('/') >= 0 || !catalog.maySelect(type, new SupertypeNames())) {
      return;
    }
    String problem = await(type);
    if (problem != null) {
      Log.line(problem);
    }
  }

  private String await(Class<?> type) {
    String internalName = type.getName().replace('.', '/');
    long start = System.nanoTime();
    boolean isInterrupted = false;
    int needed = 0;
    String problem = null;
    catalog.hurry();
    synchronized (this) {
      while (collector != null && !isLate) {
        // Asked first: what is read meanwhile is found.
        boolean isPending = catalog.isPending(type.getClassLoader(), internalName);
        TracedClass traced = catalog.find(type.getClassLoader(), internalName);
        if (traced == null && !isPending) {
          break;
        }
        if (traced != null) {
          if (traced.methods().isEmpty()) {
            break;
          }
          if (needed == 0) {
            needed = catalog.nextGeneration();
            published = Math.max(published, needed);
            notifyAll();
          }
          if (attached >= needed && traced.isUpToDate()) {
            break;
          }
        }
        if (System.nanoTime() - start > CLASS_NANOS) {
          problem = late(type);
          break;
        }
        isInterrupted |= pause(PERIOD_MILLIS);
      }
    }
    restore(isInterrupted);
    if (problem != null && hasGivenUp()) {
      end();
    }
    return problem;
  }

  private synchronized boolean hasGivenUp() {
    return lateNanos >= LATE_NANOS;
  }

  private String late(Class<?> type) {
    isLate = true;
    lateNanos += CLASS_NANOS;
    if (hasGivenUp()) {
      return "the collector is too slow: classes that are loaded from now on do not wait for it,"
          + " and their first calls are not traced";
    }
    return "class "
        + type.getName()
        + " goes on, because its probes are not armed after "
        + CLASS_NANOS / SECOND_NANOS
        + " s; its first calls are not traced";
  }

  /** Waits, also if the thread is interrupted. Returns true if it was. */
  private boolean pause(long millis) {
    try {
      wait(millis);
      return false;
    } catch (InterruptedException e) {
      return true;
    }
  }

  private static void restore(boolean isInterrupted) {
    if (isInterrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
