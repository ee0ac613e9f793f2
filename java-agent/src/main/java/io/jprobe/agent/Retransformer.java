// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.calls.Call;
import io.jprobe.catalog.TracedClass;
import io.jprobe.stub.LoadedClass;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Retransforms batches of classes, and handles the JVM's errors: it finds the classes and methods
 * that cause them, and retries without. Other agents' transformers run too and may block, so each
 * retransformation is a call with a timeout. Runs on the watcher thread, except for these calls.
 */
final class Retransformer {
  /**
   * Timeout of a retransformation. A batch takes milliseconds, but other agents' transformers may
   * take longer or not return. Only the classes of such a batch wait for it.
   */
  private static final long TIMEOUT_NANOS = 5_000_000_000L;

  private final Transformer transformer;
  private final ApplicationCalls calls;
  private final WeavingResults results;
  private final BatchSize batchSize;

  /** Retransformations that have not returned in time, with their classes. */
  private final Map<Call<Retransformation>, List<TracedClass>> unreturned = new LinkedHashMap<>();

  private final Set<TracedClass> busy = new HashSet<>();
  private volatile boolean isShutDown;

  Retransformer(
      Transformer transformer,
      ApplicationCalls calls,
      WeavingResults results,
      BatchSize batchSize) {
    this.transformer = transformer;
    this.calls = calls;
    this.results = results;
    this.batchSize = batchSize;
  }

  /** Returns true if retransformations have not returned yet. */
  boolean isWaiting() {
    return !unreturned.isEmpty();
  }

  /** Returns true if a retransformation of the class has not returned yet. */
  boolean isBusy(TracedClass traced) {
    return busy.contains(traced);
  }

  /**
   * Records that the transformer was removed. Retransformations that have not returned restore
   * their classes themselves when they do.
   */
  void shutDown() {
    isShutDown = true;
    for (List<TracedClass> batch : unreturned.values()) {
      Log.line(describe(batch) + " will be restored when its running retransformation returns");
    }
  }

  private static String describe(List<TracedClass> batch) {
    int others = batch.size() - 1;
    String more = others == 0 ? "" : " and " + others + " more class" + (others == 1 ? "" : "es");
    return batch.get(0).className() + more;
  }

  /** Concludes the retransformations that have returned late. */
  void concludeReturned(PendingClasses pending) {
    if (unreturned.isEmpty()) {
      return;
    }
    List<Call<Retransformation>> returned = new ArrayList<>(unreturned.keySet());
    returned.removeIf(call -> !call.isDone());
    for (Call<Retransformation> call : returned) {
      List<TracedClass> batch = unreturned.remove(call);
      busy.removeAll(batch);
      conclude(batch, call);
      // The wanted probes may have changed during the call.
      batch.stream().filter(traced -> !traced.isUpToDate()).forEach(pending::add);
    }
  }

  /**
   * Retransforms classes, and concludes each or keeps it busy.
   *
   * @throws OutOfMemoryError if the only class cannot be restored for lack of memory
   */
  void retransform(List<TracedClass> batch) {
    List<Class<?>> classes = new ArrayList<>();
    for (TracedClass traced : batch) {
      Class<?> loaded = traced.loaded();
      if (loaded != null) {
        classes.add(loaded);
      }
    }
    Call<Retransformation> call = start(batch, classes.toArray(new Class<?>[0]));
    if (call.isDone()) {
      conclude(batch, call);
      return;
    }
    Log.line(
        "retransforming " + describe(batch) + " is taking long; other classes do not wait for it");
  }

  /** Starts a retransformation. If it does not return in time, its classes stay busy. */
  private Call<Retransformation> start(List<TracedClass> batch, Class<?>... classes) {
    Call<Retransformation> call =
        calls.startOrRun(
            TIMEOUT_NANOS,
            () -> {
              Retransformation done = transformer.retransform(classes);
              if (isShutDown) {
                // The transformer is removed, so this restores the classes, which no other code
                // would do.
                LoadedClass.retransform(classes);
              }
              return done;
            });
    if (!call.isDone()) {
      unreturned.put(call, batch);
      busy.addAll(batch);
    }
    return call;
  }

  /** Concludes the classes of a retransformation that has returned. */
  private void conclude(List<TracedClass> batch, Call<Retransformation> call) {
    try {
      batchSize.adapt(batch.size(), call.get());
      boolean hasLostNames = false;
      for (TracedClass traced : batch) {
        boolean isBypassed = isBypassed(traced);
        boolean losesNames = isBypassed && !traced.parameters().isEmpty();
        hasLostNames |= losesNames;
        traced.setWoven(!traced.armed().isEmpty() || losesNames);
        boolean hasFailed = isBypassed && !traced.armed().isEmpty();
        results.conclude(traced, hasFailed ? WeavingResults.NO_MEMORY : null);
      }
      if (hasLostNames) {
        throw new OutOfMemoryError("parameter names are lost until there is memory for them");
      }
    } catch (OutOfMemoryError e) {
      batchSize.reset();
      handleOutOfMemory(batch, e);
    } catch (ApplicationException e) {
      batchSize.reset();
      if (batch.size() == 1) {
        excludeRejectedMethods(batch.get(0), e);
      } else {
        // The JVM has changed no class of the batch, and a single one may be the cause. A call
        // takes longer than a class: halving finds one class of 64 in 12 calls.
        int half = batch.size() / 2;
        retransform(batch.subList(0, half));
        retransform(batch.subList(half, batch.size()));
      }
    }
  }

  /**
   * Returns true if the JVM has retransformed the class without calling the transformer. It does so
   * without an error if it has no memory for the class file.
   */
  private boolean isBypassed(TracedClass traced) {
    return traced.loaded() != null && !transformer.wasCalledFor(traced);
  }

  /** Weaves the class without the methods with which the JVM rejects it, if there are any. */
  private void excludeRejectedMethods(TracedClass traced, ApplicationException problem) {
    boolean isWoven =
        RejectedMethods.canCause(problem.getCause())
            && new RejectedMethods(traced, () -> isAccepted(traced)).exclude(problem.getMessage());
    results.conclude(traced, isWoven ? null : problem.getMessage());
  }

  /** Returns true if the JVM accepts the class with its armed probes. */
  private boolean isAccepted(TracedClass traced) {
    Class<?> loaded = traced.loaded();
    if (loaded == null || busy.contains(traced)) {
      return false;
    }
    Call<Retransformation> call = start(List.of(traced), loaded);
    if (!call.isDone()) {
      return false;
    }
    try {
      call.get();
      traced.setWoven(!traced.armed().isEmpty());
      return true;
    } catch (ApplicationException | OutOfMemoryError e) {
      // If memory is short as well, no method of the class is woven.
      return false;
    }
  }

  /**
   * Gives up weaving, because the program needs its memory more, and restores one class at a time,
   * because that frees memory. The watcher retries what cannot be restored.
   */
  private void handleOutOfMemory(List<TracedClass> batch, OutOfMemoryError problem) {
    List<TracedClass> toRestore = new ArrayList<>();
    // A lambda would be one more class.
    for (TracedClass traced : batch) {
      if (traced.armed().isEmpty()) {
        toRestore.add(traced);
      } else {
        results.conclude(traced, WeavingResults.NO_MEMORY);
      }
    }
    if (batch.size() == 1 && !toRestore.isEmpty()) {
      throw problem;
    }
    for (TracedClass traced : toRestore) {
      retransform(List.of(traced));
    }
  }
}
