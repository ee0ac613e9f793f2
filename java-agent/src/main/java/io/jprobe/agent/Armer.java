// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.calls.Call;
import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.ProbeState;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.catalog.Watcher;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Makes the classes what their semaphores want: woven where somebody listens, as they were where
 * nobody does. Everything here runs in the watcher's thread, but for what may come to the
 * application's code: the class loaders, and all that a retransformation calls.
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

  /**
   * A retransformation of a batch takes milliseconds. Other agents' transformers may take longer,
   * or not return; the classes of a batch that has not returned wait for it, and no others do.
   */
  private static final long RETRANSFORMATION_NANOS = 5_000_000_000L;

  /** What a loader has where others have taken all the time of a look. */
  private static final long LEAST_LOADER_NANOS = 20_000_000L;

  /**
   * A class that another agent keeps from being restored is tried again after a second, two, four.
   */
  private static final long FIRST_RETRY_NANOS = 1_000_000_000L;

  private static final long LAST_RETRY_NANOS = 64_000_000_000L;

  /** How many selectors that do not fit a method are worth a line. */
  private static final int MAX_UNFIT = 10;

  /** How many classes that cannot be woven or restored are worth a line at one look. */
  private static final int MAX_PROBLEMS = 20;

  private final Instrumentation instrumentation;
  private final Transformer transformer;
  private final ApplicationCalls calls;
  private final Runnable eachSecond;

  /** Classes that are to change; those that cannot be found or linked yet wait for it. */
  private final Set<TracedClass> waiting = new LinkedHashSet<>();

  /** Classes whose loaders have not answered: tried again when they have. */
  private final Set<TracedClass> unanswered = new LinkedHashSet<>();

  /** Classes that could not be linked: tried again when the program has. */
  private final Set<TracedClass> unlinked = new LinkedHashSet<>();

  /** Retransformations that have not returned, with their classes. */
  private final Map<Call<Void>, List<TracedClass>> overdue = new LinkedHashMap<>();

  private final Set<TracedClass> busy = new HashSet<>();

  /** Classes that are still woven, though nobody listens: restoring them has failed. */
  private final Set<TracedClass> unrestored = new LinkedHashSet<>();

  private long retryAt;
  private long retryNanos = FIRST_RETRY_NANOS;
  private volatile boolean hasEnded;

  private final Set<String> unfit = new HashSet<>();
  private boolean rehearsed;
  private final Debugger debugger = new Debugger();
  private Metaspace metaspace;

  /** Why classes are not woven at this look though there are listeners, and how many. */
  private String objection;

  private int objectedTo;

  /** Classes that could not be woven or restored at this look. */
  private int problems;

  /** Until when this look waits for class loaders; after that they have hardly any time. */
  private long loadersUntil;

  private boolean isShortOfMemory;
  private long restUntil;
  private String lastFailure = "";

  Armer(
      Instrumentation instrumentation,
      Transformer transformer,
      ApplicationCalls calls,
      Runnable eachSecond) {
    this.instrumentation = instrumentation;
    this.transformer = transformer;
    this.calls = calls;
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
    return !waiting.isEmpty() || !overdue.isEmpty() || !unanswered.isEmpty() || !unlinked.isEmpty();
  }

  /**
   * Leaves nothing for the next look that can be done now: a command is to tell what came of it.
   */
  void finish() {
    retransformWaiting(Long.MAX_VALUE);
  }

  /**
   * The transformer is gone. What has not returned by now restores its classes itself when it does.
   */
  void end() {
    hasEnded = true;
    for (List<TracedClass> batch : overdue.values()) {
      Log.line(
          batch.get(0).className()
              + (batch.size() == 1 ? "" : " and " + (batch.size() - 1) + " more classes")
              + " will be restored when the JVM has retransformed what it was told to before");
    }
  }

  /** Begins no batch after that time, and leaves the rest waiting. */
  private void retransformWaiting(long nanos) {
    problems = 0;
    loadersUntil = System.nanoTime() + ApplicationCalls.DEADLINE_NANOS;
    takeUpOverdue();
    takeUpUnrestored();
    if (!unanswered.isEmpty()) {
      List<TracedClass> answered = new ArrayList<>(unanswered);
      answered.removeIf(this::isStuck);
      waiting.addAll(answered);
      unanswered.removeAll(answered);
    }
    if (!unlinked.isEmpty()) {
      List<TracedClass> linked = new ArrayList<>(unlinked);
      linked.removeIf(traced -> traced.loaded() != null && !Linking.isLinked(traced.loaded()));
      waiting.addAll(linked);
      unlinked.removeAll(linked);
    }
    if (waiting.isEmpty()) {
      return;
    }
    long begun = System.nanoTime();
    linkAll();
    List<TracedClass> found = new ArrayList<>();
    List<TracedClass> lost = new ArrayList<>();
    for (TracedClass traced : waiting) {
      Class<?> loaded = traced.loaded();
      if (loaded != null) {
        if (!busy.contains(traced) && isReady(traced, loaded)) {
          found.add(traced);
        }
      } else if (traced.isOverdue()) {
        lost.add(traced);
      }
    }
    lost.forEach(waiting::remove);
    lost.forEach(this::giveUp);
    retransformInBatches(found, begun, nanos);
  }

  private boolean isStuck(TracedClass traced) {
    Class<?> loaded = traced.loaded();
    return loaded != null && calls.isStuck(loaded.getClassLoader());
  }

  private void takeUpUnrestored() {
    unrestored.removeIf(traced -> !traced.isWoven() || traced.loaded() == null);
    if (unrestored.isEmpty()) {
      retryNanos = FIRST_RETRY_NANOS;
    } else if (System.nanoTime() - retryAt > 0) {
      waiting.addAll(unrestored);
      retryNanos = Math.min(2 * retryNanos, LAST_RETRY_NANOS);
      retryAt = System.nanoTime() + retryNanos;
    }
  }

  /** Whether the class can be retransformed now; if not, its probes say that they wait for it. */
  private static boolean isReady(TracedClass traced, Class<?> loaded) {
    Map<TracedMethod, EnumSet<ProbeKind>> raised = traced.raised();
    if (traced.isWoven() || raised.isEmpty() || Linking.isReady(loaded)) {
      return true;
    }
    raised.forEach(
        (method, kinds) -> kinds.forEach(kind -> method.setState(kind, ProbeState.WAITING)));
    return false;
  }

  /** Goes on with what has returned after all. */
  private void takeUpOverdue() {
    if (overdue.isEmpty()) {
      return;
    }
    List<Call<Void>> done = new ArrayList<>(overdue.keySet());
    done.removeIf(call -> !call.isDone());
    for (Call<Void> call : done) {
      List<TracedClass> batch = overdue.remove(call);
      busy.removeAll(batch);
      conclude(batch, call);
      // What was wanted may have changed meanwhile.
      batch.stream().filter(traced -> !traced.isSettled()).forEach(waiting::add);
    }
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

  /** Whatever happens, each class of the batch is settled or waits for something afterwards. */
  private void retransformBatch(List<TracedClass> batch) {
    batch.forEach(waiting::remove);
    Set<TracedClass> open = new LinkedHashSet<>(batch);
    try {
      List<TracedClass> ready = prepare(batch, open);
      if (!ready.isEmpty()) {
        // From here on each is settled by what comes of it.
        open.removeAll(ready);
        retransform(ready);
      }
    } catch (OutOfMemoryError e) {
      // No class is to blame; what is to be restored is found again by the watcher.
      for (TracedClass traced : open) {
        settle(traced, traced.raised().isEmpty() ? null : NO_MEMORY);
      }
      throw e;
    } catch (RuntimeException | Error e) {
      for (TracedClass traced : open) {
        settle(traced, Log.describe(e));
      }
    }
  }

  /**
   * Settles what is not to be retransformed, and prepares the rest.
   *
   * @param open the classes of the batch that nothing has been done with yet
   */
  private List<TracedClass> prepare(List<TracedClass> batch, Set<TracedClass> open) {
    String objectionToAll = objection(batch);
    List<TracedClass> wanted = new ArrayList<>();
    for (TracedClass traced : batch) {
      if (objectionToAll != null && !traced.isWoven() && !traced.raised().isEmpty()) {
        publish(traced, objectionToAll);
        objection = objectionToAll;
        objectedTo++;
        open.remove(traced);
      } else if (traced.raised().isEmpty() && !traced.isWoven()) {
        // Its weaving has failed: there is nothing to restore, and that would fail as well.
        settle(traced, null);
        open.remove(traced);
      } else {
        wanted.add(traced);
      }
    }
    wanted.removeIf(traced -> isRefused(traced, open));
    Map<TracedClass, String> problems = resolve(wanted);
    List<TracedClass> ready = new ArrayList<>();
    for (TracedClass traced : wanted) {
      String problem = problems.get(traced);
      if (problem == null) {
        transformer.forget(traced);
        traced.arm(traced.raised());
        ready.add(traced);
      } else {
        settle(traced, problem);
        open.remove(traced);
        if (!Linking.isLinked(traced.loaded())) {
          unlinked.add(traced);
        }
      }
    }
    return ready;
  }

  /** Whether the class is gone; if not, its probes say what is under way. */
  private boolean isRefused(TracedClass traced, Set<TracedClass> open) {
    if (traced.loaded() == null) {
      giveUp(traced);
      open.remove(traced);
      return true;
    }
    Map<TracedMethod, EnumSet<ProbeKind>> armed = traced.armed();
    traced
        .raised()
        .forEach(
            (method, kinds) -> {
              Set<ProbeKind> risen = new HashSet<>(kinds);
              risen.removeAll(armed.getOrDefault(method, EnumSet.noneOf(ProbeKind.class)));
              risen.forEach(kind -> method.setState(kind, ProbeState.ARMING));
            });
    return false;
  }

  /**
   * Has all resolved that the woven code of these classes will name, by their loaders.
   *
   * @return what keeps classes from being woven
   */
  private Map<TracedClass, String> resolve(List<TracedClass> classes) {
    Map<ClassLoader, Map<TracedClass, Set<TracedMethod>>> byLoader = new IdentityHashMap<>();
    for (TracedClass traced : classes) {
      Class<?> loaded = traced.loaded();
      Set<TracedMethod> fresh = new HashSet<>(traced.raised().keySet());
      fresh.removeIf(traced::isPrepared);
      boolean isUnlinked = loaded != null && !Linking.isLinked(loaded);
      if (loaded != null && (!fresh.isEmpty() || isUnlinked)) {
        byLoader
            .computeIfAbsent(loaded.getClassLoader(), loader -> new LinkedHashMap<>())
            .put(traced, fresh);
      }
    }
    Map<TracedClass, String> problems = new HashMap<>();
    byLoader.forEach((loader, some) -> resolve(loader, some, problems));
    return problems;
  }

  private void resolve(
      ClassLoader loader,
      Map<TracedClass, Set<TracedMethod>> methods,
      Map<TracedClass, String> problems) {
    Preparation preparation = new Preparation(transformer, methods);
    try {
      if (loader == null) {
        // The JVM's own, which nobody else has code in.
        preparation.run();
      } else {
        long left = Math.max(loadersUntil - System.nanoTime(), LEAST_LOADER_NANOS);
        calls.start(loader, left, preparation).get();
      }
    } catch (OutOfMemoryError e) {
      // The loader's own, or the program's: then the next step finds out.
      preparation.left().forEach(traced -> problems.put(traced, NO_MEMORY));
    } catch (ApplicationException e) {
      for (TracedClass traced : preparation.left()) {
        problems.put(traced, e.getMessage());
        if (e.isUnanswered) {
          unanswered.add(traced);
        }
      }
    }
    problems.putAll(preparation.problems());
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
        debugger.warnIfPresent();
        if (metaspace == null) {
          metaspace = new Metaspace();
        }
        return metaspace.objection();
      }
    }
    return null;
  }

  private void retransform(List<TracedClass> batch) {
    List<Class<?>> classes = new ArrayList<>();
    for (TracedClass traced : batch) {
      Class<?> loaded = traced.loaded();
      if (loaded != null) {
        classes.add(loaded);
      }
    }
    Call<Void> call = start(batch, classes.toArray(new Class<?>[0]));
    if (call.isDone()) {
      conclude(batch, call);
      return;
    }
    Log.line(
        "retransforming "
            + batch.get(0).className()
            + (batch.size() == 1 ? "" : " and " + (batch.size() - 1) + " more classes")
            + " takes long; other classes do not wait for it");
  }

  /** Begins a retransformation; where it does not return in time, its classes wait for it. */
  private Call<Void> start(List<TracedClass> batch, Class<?>... classes) {
    Call<Void> call =
        calls.startOrRun(
            RETRANSFORMATION_NANOS,
            () -> {
              transformer.retransform(classes, instrumentation);
              if (hasEnded) {
                // By now there is no transformer of ours, and nobody else who would restore them.
                instrumentation.retransformClasses(classes);
              }
              return null;
            });
    if (!call.isDone()) {
      overdue.put(call, batch);
      busy.addAll(batch);
    }
    return call;
  }

  /** Settles the classes of a retransformation that has returned. */
  private void conclude(List<TracedClass> batch, Call<Void> call) {
    try {
      call.get();
      boolean hasLost = false;
      for (TracedClass traced : batch) {
        boolean isPassedOver = isPassedOver(traced);
        boolean lost = isPassedOver && !traced.parameters().isEmpty();
        hasLost |= lost;
        traced.setWoven(!traced.armed().isEmpty() || lost);
        settle(traced, isPassedOver && !traced.armed().isEmpty() ? NO_MEMORY : null);
      }
      if (hasLost) {
        throw new OutOfMemoryError("names of parameters are lost until there is room for them");
      }
    } catch (OutOfMemoryError e) {
      runOut(batch, e);
    } catch (ApplicationException e) {
      if (batch.size() == 1) {
        retransformWithoutGuilty(batch.get(0), e);
      } else {
        // Nothing of the batch was changed; only one class may be to blame. A call takes longer
        // than a class: by halves, one of 64 is found in 12 of them.
        int half = batch.size() / 2;
        retransform(batch.subList(0, half));
        retransform(batch.subList(half, batch.size()));
      }
    }
  }

  /** One class is to blame, or some of its methods. */
  private void retransformWithoutGuilty(TracedClass traced, ApplicationException problem) {
    boolean areLeftOut =
        GuiltyMethods.mayBeBehind(problem.getCause())
            && new GuiltyMethods(traced, () -> isTaken(traced)).areLeftOut(problem.getMessage());
    settle(traced, areLeftOut ? null : problem.getMessage());
  }

  /** Whether the JVM takes the class with what is armed of it. */
  private boolean isTaken(TracedClass traced) {
    Class<?> loaded = traced.loaded();
    if (loaded == null || busy.contains(traced)) {
      return false;
    }
    Call<Void> call = start(List.of(traced), loaded);
    if (!call.isDone()) {
      return false;
    }
    try {
      call.get();
      traced.setWoven(!traced.armed().isEmpty());
      return true;
    } catch (ApplicationException | OutOfMemoryError e) {
      // Where memory has run out as well, nothing of the class is woven.
      return false;
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
    return traced.loaded() != null && !transformer.hasBeenAsked(traced);
  }

  /** What has become of the class; {@code problem} is null if all went well. */
  private void settle(TracedClass traced, String problem) {
    publish(traced, problem);
    boolean isNews = problem != null;
    if (problem != null && traced.isWoven() && traced.raised().isEmpty()) {
      if (unrestored.isEmpty()) {
        retryAt = System.nanoTime() + FIRST_RETRY_NANOS;
      }
      isNews = unrestored.add(traced);
    }
    if (isNews && problems++ < MAX_PROBLEMS) {
      String what = traced.raised().isEmpty() ? "restore" : "weave";
      Log.line(
          problems < MAX_PROBLEMS
              ? "cannot " + what + " class " + traced.className() + ": " + problem
              : "more classes cannot be woven or restored; jcollect probes shows which");
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
  public void unreadable(String className, Throwable problem) {
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
