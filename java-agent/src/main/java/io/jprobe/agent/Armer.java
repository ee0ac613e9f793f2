// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.ProbeState;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.catalog.Watcher;
import java.lang.instrument.Instrumentation;
import java.lang.instrument.UnmodifiableClassException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Makes the classes what their semaphores want: woven where somebody listens, as they were where
 * nobody does. Everything here runs in the watcher's thread.
 */
final class Armer implements Watcher.Listener {
  /**
   * One retransformation is one safepoint, in which HotSpot also walks all classes: that costs as
   * much for one class as for many. Batches of 16 had the program stand still two to four times as
   * long in all, and no shorter at once; those of 256 less than half as long in all, but nothing
   * else gets its turn before a batch is done.
   */
  private static final int BATCH = 64;

  /**
   * For how long a look begins further batches. Then the watcher has its turn: commands and other
   * semaphores wait for no more than this and a batch, however many classes are to change.
   */
  private static final long TURN_NANOS = 200_000_000L;

  /**
   * So many classes are tried at a look that cannot be restored for want of memory: for each, the
   * JVM collects all of its garbage.
   */
  private static final int MOST_REFUSALS = 8;

  /** That is to take a twentieth of the program's time at most. */
  private static final int REST = 20;

  private static final String NO_MEMORY =
      "java.lang.OutOfMemoryError: the program has no memory left for it";

  /** How many selectors that do not fit a method are worth a line. */
  private static final int MAX_UNFIT = 10;

  private final Instrumentation instrumentation;
  private final Transformer transformer;
  private final Runnable eachSecond;

  /** Classes that are to change; those that cannot be found yet wait for it. */
  private final Set<TracedClass> waiting = new LinkedHashSet<>();

  private final Set<String> unfit = new HashSet<>();
  private boolean rehearsed;
  private Metaspace metaspace;

  /** Why classes are not woven at this look though there are listeners, and how many. */
  private String objection;

  private int objectedTo;
  private boolean isShortOfMemory;
  private long restUntil;
  private String lastFailure = "";

  Armer(Instrumentation instrumentation, Transformer transformer, Runnable eachSecond) {
    this.instrumentation = instrumentation;
    this.transformer = transformer;
    this.eachSecond = eachSecond;
  }

  /**
   * Weaves the first class that has probes, for nothing: what weaving is made of is then loaded and
   * verified, so that the first arming neither takes three times as long nor loads classes while
   * the JVM retransforms.
   */
  @Override
  public void published(TracedClass traced, byte[] classFile) {
    if (!rehearsed) {
      rehearsed = true;
      transformer.rehearse(traced, classFile);
    }
  }

  @Override
  public void changed(Set<TracedClass> classes) {
    waiting.addAll(classes);
    retransformWaiting(TURN_NANOS);
  }

  @Override
  public boolean isWaiting() {
    return !waiting.isEmpty();
  }

  /**
   * Leaves nothing for the next look that can be done now: a command is to tell what came of it.
   */
  void finish() {
    retransformWaiting(Long.MAX_VALUE);
  }

  /** Begins no batch after that time, and leaves the rest waiting. */
  private void retransformWaiting(long nanos) {
    if (waiting.isEmpty()) {
      return;
    }
    long begun = System.nanoTime();
    linkAll();
    List<TracedClass> found = new ArrayList<>();
    List<TracedClass> lost = new ArrayList<>();
    for (TracedClass traced : waiting) {
      if (traced.loaded() != null) {
        found.add(traced);
      } else if (traced.isOverdue()) {
        lost.add(traced);
      }
    }
    lost.forEach(waiting::remove);
    lost.forEach(this::giveUp);
    retransformInBatches(found, begun, nanos);
  }

  private void retransformInBatches(List<TracedClass> found, long begun, long nanos) {
    int size = BATCH;
    if (isShortOfMemory) {
      if (begun - restUntil < 0) {
        putOff();
      }
      // What needs much room must not stand in the way of what needs little, and gives some back.
      Collections.shuffle(found);
      size = 1;
    }
    isShortOfMemory = false;
    objectedTo = 0;
    int refusals = 0;
    for (int from = 0; from < found.size(); from += size) {
      try {
        retransformBatch(found.subList(from, Math.min(from + size, found.size())));
      } catch (OutOfMemoryError e) {
        isShortOfMemory = true;
        refusals++;
      }
      if (refusals == MOST_REFUSALS || System.nanoTime() - begun > nanos) {
        break;
      }
    }
    if (objectedTo > 0) {
      Log.line("cannot weave " + objectedTo + " classes: " + objection);
    }
    if (isShortOfMemory) {
      long now = System.nanoTime();
      restUntil = now + REST * (now - begun);
      putOff();
    }
  }

  /** Leaves what is to be restored to the watcher, which finds it again. */
  private void putOff() {
    for (TracedClass traced : waiting) {
      if (!traced.isWoven() && traced.raised().isEmpty()) {
        settle(traced, null);
      }
    }
    waiting.clear();
    throw new OutOfMemoryError("there is no room to restore all classes; tried again later");
  }

  private void retransformBatch(List<TracedClass> batch) {
    batch.forEach(waiting::remove);
    String reason = objection(batch);
    List<TracedClass> ready = new ArrayList<>();
    for (TracedClass traced : batch) {
      if (reason != null && !traced.isWoven() && !traced.raised().isEmpty()) {
        publish(traced, reason);
        objection = reason;
        objectedTo++;
      } else if (prepare(traced)) {
        ready.add(traced);
      }
    }
    if (!ready.isEmpty()) {
      retransform(ready);
    }
  }

  /** A class that is not there has nothing to be restored. */
  private void giveUp(TracedClass traced) {
    boolean isWanted = !traced.raised().isEmpty();
    traced.giveUp();
    settle(traced, isWanted ? "the class has not been defined, or is gone" : null);
  }

  /** Finds the classes that are not linked yet, all in one walk over what the JVM has loaded. */
  private void linkAll() {
    Map<String, List<TracedClass>> wanted = new HashMap<>();
    for (TracedClass traced : waiting) {
      if (traced.loaded() == null) {
        wanted.computeIfAbsent(traced.className(), name -> new ArrayList<>()).add(traced);
      }
    }
    if (wanted.isEmpty()) {
      return;
    }
    for (Class<?> candidate : instrumentation.getAllLoadedClasses()) {
      for (TracedClass traced : wanted.getOrDefault(candidate.getName(), List.of())) {
        traced.link(candidate);
      }
    }
  }

  /** Why none of the batch is to be woven; null where nothing speaks against it. */
  private String objection(List<TracedClass> batch) {
    for (TracedClass traced : batch) {
      if (!traced.raised().isEmpty()) {
        if (metaspace == null) {
          metaspace = new Metaspace();
        }
        return metaspace.objection();
      }
    }
    return null;
  }

  /** Whether the class is to be retransformed now; if not, its probes are settled. */
  private boolean prepare(TracedClass traced) {
    Map<TracedMethod, EnumSet<ProbeKind>> raised = traced.raised();
    if (raised.isEmpty() && !traced.isWoven()) {
      // Its weaving has failed: there is nothing to restore, and that would fail as well.
      settle(traced, null);
      return false;
    }
    Map<TracedMethod, EnumSet<ProbeKind>> armed = traced.armed();
    raised.forEach(
        (method, kinds) -> {
          Set<ProbeKind> risen = new HashSet<>(kinds);
          risen.removeAll(armed.getOrDefault(method, EnumSet.noneOf(ProbeKind.class)));
          risen.forEach(kind -> method.setState(kind, ProbeState.ARMING));
        });
    try {
      transformer.prepare(traced, raised.keySet());
    } catch (RuntimeException | Error e) {
      // The class's loader was asked for others: it is the application's, and does as it likes.
      settle(traced, Log.describe(e));
      return false;
    }
    traced.arm(raised);
    return true;
  }

  private void retransform(List<TracedClass> batch) {
    try {
      List<Class<?>> classes = new ArrayList<>();
      for (TracedClass traced : batch) {
        Class<?> loaded = traced.loaded();
        if (loaded != null) {
          classes.add(loaded);
        }
      }
      instrumentation.retransformClasses(classes.toArray(new Class<?>[0]));
      batch.forEach(traced -> traced.setWoven(!traced.armed().isEmpty()));
      batch.forEach(traced -> settle(traced, isPassedOver(traced) ? NO_MEMORY : null));
    } catch (OutOfMemoryError e) {
      runOut(batch, e);
    } catch (UnmodifiableClassException | RuntimeException | Error e) {
      if (batch.size() == 1) {
        settle(batch.get(0), reason(batch.get(0).loaded(), e));
      } else {
        // Nothing of the batch was changed; only one class may be to blame. A call takes longer
        // than a class: by halves, one of 64 is found in 12 of them.
        int half = batch.size() / 2;
        retransform(batch.subList(0, half));
        retransform(batch.subList(half, batch.size()));
      }
    }
  }

  /**
   * No class is to blame. What is to be woven is given up, for the program needs its memory more;
   * what is to be restored gives memory back, and the watcher tries that again.
   */
  private void runOut(List<TracedClass> batch, OutOfMemoryError problem) {
    List<TracedClass> toRestore = new ArrayList<>();
    // A lambda would be one more class.
    for (TracedClass traced : batch) {
      if (traced.armed().isEmpty()) {
        toRestore.add(traced);
      } else {
        settle(traced, NO_MEMORY);
      }
    }
    if (batch.size() == 1 && !toRestore.isEmpty()) {
      throw problem;
    }
    for (TracedClass traced : toRestore) {
      retransform(List.of(traced));
    }
  }

  /** Where the JVM has no memory to hand us the class file, it says nothing and takes its own. */
  private boolean isPassedOver(TracedClass traced) {
    return traced.loaded() != null && !traced.armed().isEmpty() && !transformer.hasWoven(traced);
  }

  /**
   * Why a class was not retransformed. Of one that cannot be linked the JVM says "invalid class".
   */
  private static String reason(Class<?> type, Throwable problem) {
    try {
      if (type != null) {
        // Links it, as the JVM has just tried to.
        type.getDeclaredMethods();
      }
    } catch (LinkageError e) {
      return "it cannot be linked: " + Log.describe(e);
    }
    return Log.describe(problem);
  }

  /** What has become of the class; {@code problem} is null if all went well. */
  private void settle(TracedClass traced, String problem) {
    publish(traced, problem);
    if (problem != null) {
      String what = traced.raised().isEmpty() ? "restore" : "weave";
      Log.line("cannot " + what + " class " + traced.className() + ": " + problem);
    }
  }

  private void publish(TracedClass traced, String problem) {
    Map<TracedMethod, String> failures = transformer.takeFailures(traced);
    Map<TracedMethod, EnumSet<ProbeKind>> wanted =
        problem == null ? traced.armed() : traced.raised();
    for (TracedMethod method : traced.methods()) {
      EnumSet<ProbeKind> kinds = wanted.getOrDefault(method, EnumSet.noneOf(ProbeKind.class));
      String reason = problem != null ? problem : failures.get(method);
      for (ProbeKind kind : method.kinds()) {
        ProbeState raised = reason == null ? ProbeState.ARMED : ProbeState.FAILED;
        method.setState(kind, kinds.contains(kind) ? raised : method.restingState(kind));
      }
      if (problem == null && reason != null) {
        Log.line("cannot weave " + traced.className() + "#" + method + ": " + reason);
      }
    }
    if (problem != null) {
      traced.giveUp();
    }
  }

  @Override
  public void eachSecond() {
    eachSecond.run();
  }

  @Override
  public void unreadable(String className, RuntimeException problem) {
    failed("cannot read class " + className, problem);
  }

  @Override
  public void unfit(String method, String problem) {
    // A selector for many methods may fit none of them; the collector has the list.
    if (unfit.size() <= MAX_UNFIT && unfit.add(problem)) {
      Log.line(
          unfit.size() <= MAX_UNFIT
              ? "cannot trace " + method + ": " + problem
              : "more cannot be traced; jcollect probes --all lists them");
    }
  }

  @Override
  public void refused(String reason) {
    Log.line(reason + "; nothing is traced");
  }

  @Override
  public void throttled(String what) {
    Log.line(what);
  }

  @Override
  public void failed(String what, Throwable reason) {
    String line = what + ": " + Log.describe(reason);
    // The same trouble at each look is worth one line.
    if (!line.equals(lastFailure)) {
      Log.line(line);
      lastFailure = line;
    }
  }
}
