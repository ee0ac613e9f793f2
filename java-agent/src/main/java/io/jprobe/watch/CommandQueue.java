// SPDX-License-Identifier: Apache-2.0
package io.jprobe.watch;

import io.jprobe.stub.Semaphores;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;

/** Commands of other threads that the watcher thread executes. */
final class CommandQueue {
  private final BlockingQueue<FutureTask<?>> tasks = new LinkedBlockingQueue<>();

  // Guarded by tasks, so that every queued command is executed and later ones are rejected.
  private boolean isClosed;

  /**
   * Queues a command, ends the watcher's wait, and returns the command's result.
   *
   * @throws IllegalStateException if the queue is closed
   */
  <T> T call(Callable<T> command) throws Exception {
    FutureTask<T> task = new FutureTask<>(command);
    synchronized (tasks) {
      if (isClosed) {
        throw new IllegalStateException("the agent has been reset");
      }
      tasks.add(task);
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

  /** Rejects further commands. */
  void close() {
    synchronized (tasks) {
      isClosed = true;
    }
  }

  /** Returns true if the queue is closed and all commands have been executed. */
  boolean isFinished() {
    synchronized (tasks) {
      return isClosed && tasks.isEmpty();
    }
  }

  boolean isEmpty() {
    return tasks.isEmpty();
  }

  /** Executes the queued commands in this thread. */
  void execute() {
    for (FutureTask<?> task; (task = tasks.poll()) != null; ) {
      task.run();
    }
  }
}
