// SPDX-License-Identifier: Apache-2.0
package io.jprobe.calls;

import java.util.ArrayList;
import java.util.List;

/**
 * Runs the application's code for the agent: class loaders, URL handlers, and what the JVM calls of
 * these. Such code may throw anything or never return, so that it gets a thread of its own and a
 * deadline; whoever waits for it goes on after that. A loader that has not returned is not asked
 * anything else before it has.
 *
 * <p>The thread ends when it has not been needed for a while.
 */
public final class ApplicationCalls {
  /** For one call of a loader. A slow one is tried again when it has returned. */
  public static final long DEADLINE_NANOS = 500_000_000L;

  /** The same where there are many calls, and each of them returns. */
  private static final long LONGEST_NANOS = 2_000_000_000L;

  /** Factor applied to the deadline of a runnable call: a busy machine may leave it no CPU. */
  private static final int PATIENCE = 4;

  /** Threads that do not return. Beyond that nothing of the application's is called. */
  private static final int MAX_UNANSWERED = 16;

  private static final long IDLE_NANOS = 5_000_000_000L;

  // Guarded by this.
  private final List<Call<?>> unanswered = new ArrayList<>();
  private Caller idle;
  private boolean isClosed;

  /** A thread that runs one call after the other. */
  private final class Caller extends Thread {
    private Call<?> next;

    Caller(Call<?> first) {
      super(null, null, "jprobe-caller", 0, false);
      this.next = first;
      setDaemon(true);
      // The application's threads have this one too, and its code may look there.
      setContextClassLoader(ClassLoader.getSystemClassLoader());
    }

    @Override
    public void run() {
      Call<?> call = next;
      while (call != null) {
        call.run();
        // Else what came of it would be kept while this thread rests.
        call = null;
        call = rest(this);
      }
    }
  }

  /** Waits for the next call; null if there is none for this thread. */
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
        // The application can interrupt any thread; this one has no use for it.
      }
      left = end - System.nanoTime();
    }
    if (idle == caller) {
      idle = null;
    }
    return caller.next;
  }

  /**
   * Runs code, and waits for it until the deadline, and for as long as it advances.
   *
   * @param loader whose code it is; null if it is nobody's in particular
   * @return the call, which may not have returned yet
   * @throws ApplicationException if the loader is not to be asked now
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
      if (!mayReturn || waited > LONGEST_NANOS) {
        synchronized (this) {
          unanswered.add(call);
        }
        break;
      }
    }
    return call;
  }

  /**
   * Returns what the code returns.
   *
   * @throws ApplicationException if it throws, or has not returned at the deadline
   */
  public <T> T call(ClassLoader loader, Call.Body<T> body) throws ApplicationException {
    return start(loader, DEADLINE_NANOS, body).get();
  }

  /**
   * The same for code that is nobody's in particular and must be run: where no thread can be
   * started, because the program has too many, this thread runs it, without a deadline.
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
          "nothing of the program's is called any more, because "
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

  /** Whether the loader would not be asked now, because it, or too many, have not returned. */
  public boolean isStuck(ClassLoader loader) {
    try {
      check(loader);
      return false;
    } catch (ApplicationException e) {
      return true;
    }
  }

  /** Ends the thread, as soon as it has nothing to do. */
  public synchronized void close() {
    isClosed = true;
    notifyAll();
  }
}
