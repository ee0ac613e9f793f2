// SPDX-License-Identifier: Apache-2.0
package io.jprobe.calls;

import java.util.ArrayList;
import java.util.List;

/**
 * Runs application code for the agent: class loaders, URL handlers, and code that the JVM calls in
 * them. Such code may throw anything or never return, so it runs in a separate thread with a
 * deadline, after which the caller continues. A loader that has not returned gets no further calls
 * until it has.
 *
 * <p>The thread exits after an idle period.
 */
public final class ApplicationCalls {
  /** Deadline of one call of a loader. A slow call is retried after it has returned. */
  public static final long DEADLINE_NANOS = 500_000_000L;

  /** Deadline of a sequence of many calls, each of which returns. */
  private static final long MAX_NANOS = 2_000_000_000L;

  /**
   * Factor applied to the deadline of a runnable call, which may get no CPU time on a busy machine.
   */
  private static final int PATIENCE = 4;

  /**
   * Maximum number of threads whose calls have not returned. Beyond it, no application code is
   * called.
   */
  private static final int MAX_UNANSWERED = 16;

  /**
   * Maximum age of a call that is late rather than stuck. On a busy machine a call that takes
   * milliseconds of CPU time may take seconds; longer ones may be stuck in native code.
   */
  private static final long MAX_LATE_NANOS = 20_000_000_000L;

  private static final long IDLE_NANOS = 5_000_000_000L;

  // Guarded by this.
  private final List<Call<?>> unanswered = new ArrayList<>();
  private Caller idle;
  private boolean isClosed;

  /** A thread that runs calls one after another. */
  private final class Caller extends Thread {
    private Call<?> next;

    Caller(Call<?> first) {
      super(null, null, "jprobe-caller", 0, false);
      this.next = first;
      setDaemon(true);
      // Application threads have this context class loader too, and application code may use it.
      setContextClassLoader(ClassLoader.getSystemClassLoader());
    }

    @Override
    public void run() {
      Call<?> call = next;
      while (call != null) {
        call.run();
        // Otherwise the result would stay reachable while this thread is idle.
        call = null;
        call = rest(this);
      }
    }
  }

  /** Waits for the next call. Returns null if this thread must exit. */
  private synchronized Call<?> rest(Caller caller) {
    caller.next = null;
    if (idle != null || isClosed) {
      return null;
    }
    idle = caller;
    long end = System.nanoTime() + IDLE_NANOS;
    for (long left = IDLE_NANOS; caller.next == null && left > 0 && !isClosed; ) {
      try {
        wait(left / 1_000_000, (int) (left % 1_000_000));
      } catch (InterruptedException e) {
        // The application can interrupt any thread; this one ignores it.
      }
      left = end - System.nanoTime();
    }
    if (idle == caller) {
      idle = null;
    }
    return caller.next;
  }

  /**
   * Runs code and waits for it until the deadline, and longer while it makes progress.
   *
   * @param loader loader that the code belongs to; null for code of no particular loader
   * @return the call, which may still be running
   * @throws ApplicationException if the loader may not be called now
   * @throws OutOfMemoryError if no thread can be started
   */
  public <T> Call<T> start(ClassLoader loader, long nanos, Call.Body<T> body)
      throws ApplicationException {
    check(loader);
    return start(new Call<>(loader, body), nanos);
  }

  private <T> Call<T> start(Call<T> call, long nanos) {
    give(call);
    long begun = System.nanoTime();
    while (!call.await(nanos)) {
      long waited = System.nanoTime() - begun;
      boolean mayReturn = call.hasAdvanced() || call.canRun() && waited < PATIENCE * nanos;
      if (!mayReturn || waited > MAX_NANOS) {
        synchronized (this) {
          unanswered.add(call);
        }
        break;
      }
    }
    return call;
  }

  /**
   * Returns the result of the code.
   *
   * @throws ApplicationException if the code throws or has not returned at the deadline
   */
  public <T> T call(ClassLoader loader, Call.Body<T> body) throws ApplicationException {
    return start(loader, DEADLINE_NANOS, body).get();
  }

  /**
   * Like {@link #start}, for code of no particular loader that must run: if no thread can be
   * started, because the program has too many, the calling thread runs it without a deadline.
   */
  public <T> Call<T> startOrRun(long nanos, Call.Body<T> body) {
    Call<T> call = new Call<>(null, body);
    try {
      return start(call, nanos);
    } catch (OutOfMemoryError e) {
      call.run();
      return call;
    }
  }

  private synchronized void check(ClassLoader loader) throws ApplicationException {
    for (int i = unanswered.size() - 1; i >= 0; i--) {
      Call<?> call = unanswered.get(i);
      if (call.isDone()) {
        unanswered.remove(i);
      } else if (call.isOf(loader)) {
        throw ApplicationException.unanswered("its class loader does not answer");
      }
    }
    if (loader != null && unanswered.size() >= MAX_UNANSWERED) {
      throw ApplicationException.unanswered(
          "the agent calls no more code of the program, because "
              + MAX_UNANSWERED
              + " calls have not returned");
    }
  }

  private synchronized void give(Call<?> call) {
    if (idle == null) {
      new Caller(call).start();
      return;
    }
    idle.next = call;
    idle = null;
    notifyAll();
  }

  /**
   * Returns true if the loader may not be called now, because its last call, or too many calls,
   * have not returned.
   */
  public boolean isStuck(ClassLoader loader) {
    try {
      check(loader);
      return false;
    } catch (ApplicationException e) {
      return true;
    }
  }

  /**
   * Returns true if the loader has not returned from its last call in time, but may soon: the call
   * waits for nothing, so the machine may have had no CPU time for it, or it has just returned.
   */
  public synchronized boolean isLate(ClassLoader loader) {
    for (Call<?> call : unanswered) {
      if (call.isOf(loader)) {
        return call.isDone() || call.canRun() && call.age() < MAX_LATE_NANOS;
      }
    }
    return false;
  }

  /** Makes the thread exit once it is idle. */
  public synchronized void close() {
    isClosed = true;
    notifyAll();
  }
}
