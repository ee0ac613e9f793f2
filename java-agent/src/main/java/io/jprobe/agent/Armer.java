// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.ProbeState;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.watch.Watcher;
import java.lang.instrument.Instrumentation;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Weaves classes that have attached probes and restores those that have none. Runs on the watcher
 * thread only, except for calls that can run the application's code: class loaders, and everything
 * that a retransformation calls.
 */
final class Armer implements Watcher.Listener {
  /**
   * Time in which a poll starts further batches. Commands and other semaphores wait at most for
   * this and one batch, however many classes have to change.
   */
  private static final long TURN_NANOS = 200_000_000L;

  /**
   * Maximum failed restore attempts per poll when memory is short. Each failure costs a full GC.
   */
  private static final int MAX_FAILURES = 8;

  /** Pause after such a poll, as a multiple of its duration: the retries use 5% of the time. */
  private static final int PAUSE_FACTOR = 20;

  private final Transformer transformer;
  private final Runnable eachSecond;
  private final PendingClasses pending;
  private final RestoreRetries retries = new RestoreRetries();
  private final WeavingResults results;
  private final ReferenceResolver resolver;
  private final BatchSize batchSize = new BatchSize();
  private final Retransformer retransformer;
  private final Debugger debugger = new Debugger();
  private Metaspace metaspace;

  /** The reason why classes are not woven in this poll, and their number. */
  private String objection;

  private int objectedTo;

  private boolean isShortOfMemory;

  /** True if a poll has ended before it had processed all classes that were ready. */
  private boolean isInterrupted;

  private long pausedUntil;
  private boolean isRehearsed;
  private final UntraceableLog untraceable = new UntraceableLog();
  private String lastFailure = "";

  Armer(
      Instrumentation instrumentation,
      Transformer transformer,
      ApplicationCalls calls,
      Runnable eachSecond) {
    this.transformer = transformer;
    this.eachSecond = eachSecond;
    this.pending = new PendingClasses(instrumentation, calls);
    this.results = new WeavingResults(transformer, retries);
    this.resolver = new ReferenceResolver(transformer, calls, pending);
    this.retransformer = new Retransformer(transformer, calls, results, batchSize);
  }

  /**
   * Weaves the first class with probes as a rehearsal, and drops the result. This loads and
   * verifies the classes that weaving needs. Otherwise the first arming would take three times as
   * long, and would load classes while the JVM retransforms.
   */
  @Override
  public void published(TracedClass traced, byte[] classFile) {
    if (!isRehearsed) {
      isRehearsed = true;
      transformer.rehearse(traced, classFile);
    }
  }

  @Override
  public void changed(Set<TracedClass> classes) {
    untraceable.flush();
    if (!isWaiting()) {
      batchSize.reset();
    }
    pending.add(classes);
    process(TURN_NANOS);
  }

  @Override
  public boolean isWaiting() {
    return !pending.isEmpty() || retransformer.isWaiting();
  }

  @Override
  public boolean isReady() {
    return isInterrupted;
  }

  /** Completes all work that can be done now, so that a command can report the result. */
  void finish() {
    process(Long.MAX_VALUE);
  }

  /** Records that the transformer was removed. */
  void shutDown() {
    retransformer.shutDown();
  }

  /**
   * Processes the pending classes.
   *
   * @param nanos time after which no further batch is started; the rest stays pending
   */
  private void process(long nanos) {
    isInterrupted = false;
    results.startPoll();
    resolver.startPoll();
    retransformer.concludeReturned(pending);
    retries.requeue(pending);
    pending.requeue();
    if (pending.waiting().isEmpty()) {
      return;
    }
    long start = System.nanoTime();
    pending.bindLoaded();
    retransformInBatches(new ArrayList<>(pending.waiting()), start, nanos);
  }

  /**
   * Moves the next classes that can be retransformed now from a queue to a batch. Gives up the lost
   * ones before them.
   */
  private List<TracedClass> nextBatch(Deque<TracedClass> queue, int size) {
    List<TracedClass> batch = new ArrayList<>();
    while (batch.size() < size && !queue.isEmpty()) {
      TracedClass traced = queue.remove();
      Class<?> loaded = traced.loaded();
      if (loaded != null) {
        if (!retransformer.isBusy(traced) && isReady(traced, loaded)) {
          batch.add(traced);
        }
      } else if (traced.isUnloaded() || traced.isDefinitionOverdue()) {
        pending.remove(traced);
        results.giveUp(traced);
      }
    }
    return batch;
  }

  /** Returns true if the class can be retransformed now; otherwise its probes become waiting. */
  private static boolean isReady(TracedClass traced, Class<?> loaded) {
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = traced.wanted();
    if (traced.isWoven() || wanted.isEmpty() || Linking.isReady(loaded)) {
      return true;
    }
    wanted.forEach(
        (method, kinds) -> kinds.forEach(kind -> method.setState(kind, ProbeState.WAITING)));
    return false;
  }

  private void retransformInBatches(List<TracedClass> waiting, long start, long nanos) {
    boolean isSparing = isShortOfMemory;
    if (isSparing) {
      if (start - pausedUntil < 0) {
        postpone();
      }
      // Classes that need much memory must not block those that need little and free some.
      Collections.shuffle(waiting);
    }
    isShortOfMemory = false;
    objectedTo = 0;
    int failures = 0;
    Deque<TracedClass> queue = new ArrayDeque<>(waiting);
    while (!queue.isEmpty()) {
      List<TracedClass> batch = nextBatch(queue, isSparing ? 1 : batchSize.classes());
      try {
        retransformBatch(batch);
      } catch (OutOfMemoryError e) {
        isShortOfMemory = true;
        failures++;
      }
      if (failures == MAX_FAILURES) {
        break;
      }
      if (System.nanoTime() - start > nanos) {
        isInterrupted = !queue.isEmpty();
        break;
      }
    }
    if (objectedTo > 0) {
      String classes = objectedTo == 1 ? " class: " : " classes: ";
      Log.line("cannot weave " + objectedTo + classes + objection);
    }
    if (isShortOfMemory) {
      long now = System.nanoTime();
      pausedUntil = now + PAUSE_FACTOR * (now - start);
      postpone();
    }
  }

  /** Leaves the classes to restore to the watcher, whose recheck finds them again. */
  private void postpone() {
    for (TracedClass traced : pending.waiting()) {
      if (!traced.isWoven() && traced.wanted().isEmpty()) {
        results.conclude(traced, null);
      }
    }
    pending.clear();
    throw new OutOfMemoryError("not enough memory to restore all classes; will retry");
  }

  /** Concludes each class of the batch or makes it wait for something, whatever happens. */
  private void retransformBatch(List<TracedClass> batch) {
    batch.forEach(pending::remove);
    Set<TracedClass> open = new LinkedHashSet<>(batch);
    try {
      List<TracedClass> ready = prepare(batch, open);
      if (!ready.isEmpty()) {
        // The retransformer concludes these.
        open.removeAll(ready);
        retransformer.retransform(ready);
      }
    } catch (OutOfMemoryError e) {
      // No class has caused this. The watcher's recheck finds the classes to restore again.
      for (TracedClass traced : open) {
        results.conclude(traced, traced.wanted().isEmpty() ? null : WeavingResults.NO_MEMORY);
      }
      throw e;
    } catch (RuntimeException | Error e) {
      for (TracedClass traced : open) {
        results.conclude(traced, Log.describe(e));
      }
    }
  }

  /**
   * Concludes the classes that must not be retransformed, and prepares the others.
   *
   * @param open the classes of the batch that are neither concluded nor ready
   * @return the classes that are ready
   */
  private List<TracedClass> prepare(List<TracedClass> batch, Set<TracedClass> open) {
    String objectionToAll = objection(batch);
    List<TracedClass> toChange = new ArrayList<>();
    for (TracedClass traced : batch) {
      if (objectionToAll != null && !traced.isWoven() && !traced.wanted().isEmpty()) {
        results.publish(traced, objectionToAll);
        objection = objectionToAll;
        objectedTo++;
        open.remove(traced);
      } else if (traced.wanted().isEmpty() && !traced.isWoven()) {
        // Its weaving has failed: nothing has to be restored, and that would fail as well.
        results.conclude(traced, null);
        open.remove(traced);
      } else {
        toChange.add(traced);
      }
    }
    toChange.removeIf(traced -> isUnloaded(traced, open));
    Map<TracedClass, String> problems = resolver.resolve(toChange);
    List<TracedClass> ready = new ArrayList<>();
    for (TracedClass traced : toChange) {
      String problem = problems.get(traced);
      if (problem == null) {
        transformer.forget(traced);
        traced.arm(traced.wanted());
        ready.add(traced);
      } else if (pending.isLate(traced)) {
        // Its probes stay arming.
        open.remove(traced);
      } else {
        results.conclude(traced, problem);
        open.remove(traced);
        if (!Linking.isLinked(traced.loaded())) {
          pending.addUnlinked(traced);
        }
      }
    }
    return ready;
  }

  /** Returns true if the class was unloaded; otherwise its new probes become arming. */
  private boolean isUnloaded(TracedClass traced, Set<TracedClass> open) {
    if (traced.loaded() == null) {
      results.giveUp(traced);
      open.remove(traced);
      return true;
    }
    Map<TracedMethod, EnumSet<ProbeKind>> armed = traced.armed();
    traced
        .wanted()
        .forEach(
            (method, kinds) -> {
              Set<ProbeKind> fresh = new HashSet<>(kinds);
              fresh.removeAll(armed.getOrDefault(method, EnumSet.noneOf(ProbeKind.class)));
              fresh.forEach(kind -> method.setState(kind, ProbeState.ARMING));
            });
    return false;
  }

  /** Returns why no class of the batch may be woven; null if they may. */
  private String objection(List<TracedClass> batch) {
    for (TracedClass traced : batch) {
      if (!traced.wanted().isEmpty()) {
        debugger.warnIfPresent();
        if (metaspace == null) {
          metaspace = new Metaspace();
        }
        return metaspace.objection();
      }
    }
    return null;
  }

  @Override
  public void eachSecond() {
    eachSecond.run();
  }

  @Override
  public void unreadable(String className, Throwable problem) {
    failed("cannot read class " + className, problem);
  }

  @Override
  public void untraceable(String selector, String method, String problem) {
    untraceable.add(selector, method, problem);
  }

  @Override
  public void disabled(String reason) {
    Log.line(reason + "; nothing is traced");
  }

  @Override
  public void throttled(String message) {
    Log.line(message);
  }

  @Override
  public void withoutMemory(String message) {
    Log.line(message);
  }

  @Override
  public void failed(String message, Throwable reason) {
    String line = message + ": " + Log.describe(reason);
    // A failure that recurs at each poll is logged once.
    if (!line.equals(lastFailure)) {
      Log.line(line);
      lastFailure = line;
    }
  }
}
