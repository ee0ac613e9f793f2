// SPDX-License-Identifier: Apache-2.0
package io.jprobe.calls;

import io.jprobe.stub.Semaphores;
import java.lang.ref.Reference;
import java.lang.ref.WeakReference;

/** One call of code that may block or throw, and its result. */
public final class Call<T> {
  /** The code to run. */
  public interface Body<T> {
    T run() throws Throwable;

    /** Returns true if there is progress since the last call, which extends the deadline. */
    default boolean hasAdvanced() {
      return false;
    }
  }

  /** Weak, because a call may be kept longer than the loader. */
  private final Reference<ClassLoader> loader;

  private volatile Body<T> body;
  private volatile Thread runner;
  private final long begun = System.nanoTime();

  // Guarded by this.
  private boolean isDone;
  private boolean isLate;
  private T result;
  private Throwable problem;
  private String description;

  Call(ClassLoader loader, Body<T> body) {
    this.loader = new WeakReference<>(loader);
    this.body = body;
  }

  boolean isOf(ClassLoader asked) {
    return asked != null && loader.get() == asked;
  }

  /** Runs the body in the calling thread. Throws nothing. */
  void run() {
    T value = null;
    Throwable thrown = null;
    String text = null;
    runner = Thread.currentThread();
    try {
      value = body.run();
    } catch (Throwable e) {
      thrown = e;
      text = ApplicationException.describe(e);
    }
    body = null;
    runner = null;
    boolean wakes;
    synchronized (this) {
      result = value;
      problem = thrown;
      description = text;
      isDone = true;
      wakes = isLate;
      notifyAll();
    }
    if (wakes) {
      Semaphores.wake();
    }
  }

  /** Returns true if the body has returned or thrown. */
  public synchronized boolean isDone() {
    return isDone;
  }

  boolean hasAdvanced() {
    Body<T> current = body;
    return current != null && current.hasAdvanced();
  }

  /**
   * Returns true if the body has not begun or is running without waiting for a lock or another
   * thread.
   */
  boolean canRun() {
    Thread current = runner;
    return current == null || current.getState() == Thread.State.RUNNABLE;
  }

  /** Returns the ns since the call was started. */
  long age() {
    return System.nanoTime() - begun;
  }

  /** Waits until the deadline. Returns true if the body has returned or thrown. */
  synchronized boolean await(long nanos) {
    long end = System.nanoTime() + nanos;
    for (long left = nanos; !isDone && left > 0; left = end - System.nanoTime()) {
      try {
        wait(left / 1_000_000, (int) (left % 1_000_000));
      } catch (InterruptedException e) {
        // The application can interrupt any thread; this one has no use for it.
      }
    }
    isLate = !isDone;
    return isDone;
  }

  /**
   * Returns the result of the body.
   *
   * @throws ApplicationException if the body has thrown or has not returned yet
   * @throws OutOfMemoryError if the body has thrown it
   */
  public synchronized T get() throws ApplicationException {
    if (!isDone) {
      throw ApplicationException.unanswered(
          "its class loader has not answered for " + age() / 1_000_000 + " ms");
    }
    if (problem instanceof OutOfMemoryError) {
      throw (OutOfMemoryError) problem;
    }
    if (problem != null) {
      throw ApplicationException.thrown(description, problem);
    }
    return result;
  }
}
