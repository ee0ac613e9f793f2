// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import io.jprobe.stub.StubException;
import io.jprobe.stub.StubLibrary;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Supplier;

/**
 * Holds the traced methods and their probes. The threads that load classes queue them here and must
 * not be delayed. The watcher thread reads the classes and writes stub libraries: one for each
 * burst of classes, and one for each change of the selectors that needs new probes.
 */
public final class Catalog {
  /** Receives the catalog's findings. All calls are made by the watcher thread. */
  public interface Listener {
    /** Called if a class file cannot be read: a later Java version, or an obfuscator's output. */
    void unreadable(String className, Throwable problem);

    /** Called if a selected method cannot be traced, because its selector does not fit it. */
    void untraceable(String selector, String method, String problem);

    /** Called if all probes are retired, for the reason given: a sentence. */
    void disabled(String reason);
  }

  public final IncompleteClasses incomplete;
  public final DirectLane direct = new DirectLane();
  public final DirectLeases leases;
  private final ApplicationCalls calls;
  private final LoadedClasses loadedClasses;
  private final ConcurrentMap<ClassKey, TracedClass> classes = new ConcurrentHashMap<>();
  private final QueuedClasses queue = new QueuedClasses();
  private final Set<Selector> matched = ConcurrentHashMap.newKeySet();
  private volatile Selectors selectors;

  /** The selectors of the next {@link #select}: classes loaded before it must be queued as well. */
  private volatile Selectors announced = Selectors.NONE;

  /** The reason why all probes were retired; empty if they were not. */
  private volatile String refusal = "";

  // Used by the watcher thread only, once the catalog is open.
  private final Generations generations;
  private final LoaderIds loaderIds = new LoaderIds();
  private final ClassPlanner planner;
  private final UntraceableList untraceable = new UntraceableList();
  private final Set<TracedClass> toCheck = new LinkedHashSet<>();
  private int methodCount;
  private int maxMethods;

  /**
   * @param directory the directory of the stub libraries; null for memfds
   * @param maxMethods maximum number of methods with probes; beyond it, no method has any
   * @param firstGeneration number of the first library: those of an agent that was reset may still
   *     be mapped, and use the numbers below
   */
  public Catalog(
      Selectors selectors,
      String agentVersion,
      String directory,
      int maxMethods,
      int firstGeneration,
      ApplicationCalls calls,
      LoadedClasses loadedClasses) {
    this.selectors = selectors;
    this.maxMethods = maxMethods;
    this.calls = calls;
    this.incomplete = new IncompleteClasses(calls);
    this.loadedClasses = loadedClasses;
    this.planner = new ClassPlanner(classes, queue, loadedClasses, loaderIds);
    this.generations = new Generations(agentVersion, directory, firstGeneration, direct);
    this.leases = new DirectLeases(generations);
  }

  /** Changes the maximum number of methods with probes. For the watcher thread. */
  public void limitMethods(int limit) {
    maxMethods = limit;
  }

  /** Returns the number of methods with probes. For the watcher thread. */
  public int methodCount() {
    return methodCount;
  }

  /** Returns the number that identifies a class loader. For the watcher thread. */
  public int loaderId(ClassLoader loader) {
    return loaderIds.of(new LoaderKey(loader));
  }

  /** Returns the number of the next library. */
  public int nextGeneration() {
    return generations.next();
  }

  /**
   * Publishes a generation without methods. It shows collectors that the JVM has an agent, and has
   * the {@link LimitProbes} and a gate for the overhead guard.
   */
  public StubLibrary open() throws StubException {
    return generations.open(selectors);
  }

  /** Returns true if a selector may match the class of this binary name. Thread-safe. */
  public boolean maySelect(String className, boolean inJdk) {
    return selectors.mayMatch(className, inJdk) || announced.mayMatch(className, inJdk);
  }

  /** Returns true if a selector may match a loaded class by its supertypes. Thread-safe. */
  public boolean maySelect(Class<?> type, SupertypeNames supertypes) {
    String name = type.getName();
    boolean inJdk = JdkClasses.has(type);
    Supplier<Set<String>> asked = supertypes.whenAsked(type);
    return selectors.mayMatch(name, inJdk, asked) || announced.mayMatch(name, inJdk, asked);
  }

  /** Lists a loaded class that a selector may match, and whose class file cannot be read. */
  public void addUnreadable(Class<?> type, String reason) {
    int loader = loaderIds.of(new LoaderKey(type.getClassLoader()));
    untraceable.add(null, new Untraceable(type.getName(), loader, "", "", reason, ""));
  }

  /** Lets classes be queued that these selectors may match. {@link #select} must follow. */
  public void announce(Selectors next) {
    announced = next;
  }

  /** Returns the description of a class; null if it was not read yet. Thread-safe. */
  public TracedClass find(ClassLoader loader, String internalName) {
    return classes.get(new ClassKey(loader, internalName));
  }

  /**
   * Queues a class that a selector may match, with its class file. Thread-safe and quick.
   *
   * @param inJdk whether it belongs to the JDK
   */
  public void enqueue(ClassLoader loader, String internalName, boolean inJdk, byte[] classFile) {
    if (refusal.isEmpty()) {
      queue.add(new ClassKey(loader, internalName), new QueuedClass(classFile, inJdk));
    }
  }

  /**
   * Reads the queued classes and publishes their probes, if the burst is over.
   *
   * @return the classes that got probes, with their class files
   */
  public Map<TracedClass, byte[]> publishDue(Listener listener) throws StubException {
    Map<ClassKey, QueuedClass> queued = queue.takeDue();
    if (queued.isEmpty() && !untraceable.hasWaited()) {
      // The usual case at each poll, throughout the program's lifetime.
      return Map.of();
    }
    // Another agent may have retransformed a class while it was being read.
    queued.keySet().removeIf(key -> incomplete.isFinal(classes.get(key)));
    Map<ClassKey, QueuedClass> taken = new LinkedHashMap<>(queued);
    boolean isDone = false;
    try {
      Map<TracedClass, byte[]> published = publish(queued, listener);
      isDone = true;
      return published;
    } finally {
      queue.haveBeenRead();
      if (!isDone) {
        // Memory, disk space or file descriptors may suffice later.
        queue.putBack(taken);
      }
    }
  }

  private Map<TracedClass, byte[]> publish(Map<ClassKey, QueuedClass> queued, Listener listener)
      throws StubException {
    Map<TracedClass, byte[]> published = new LinkedHashMap<>();
    BurstReader reader = new BurstReader(selectors, matched::add, listener, calls);
    List<ClassPlan> plans = planner.plan(queued, selectors, reader);
    int methods = methodCount + ClassPlanner.growth(plans);
    if (methods > maxMethods) {
      disable(Refusals.tooMany(methods, maxMethods), listener);
      return published;
    }
    apply(plans);
    for (ClassPlan plan : plans) {
      if (!plan.fresh.isEmpty()) {
        published.put(plan.traced, queued.get(plan.traced.key).classFile);
      }
    }
    return published;
  }

  /**
   * Puts other selectors in force. Every method of the classes that were read is decided again. In
   * other classes, a method keeps its probes if its selector is still in force.
   *
   * @param read every class that an added or removed selector may match
   * @param given the added selectors; nothing changes if one of them can trace nothing
   */
  public Selection select(Selectors next, ReadClasses read, List<Selector> given, Listener listener)
      throws StubException {
    Selectors before = selectors;
    try {
      DeferredFindings findings = new DeferredFindings(listener);
      BurstReader reader = new BurstReader(next, matched::add, findings, calls);
      List<ClassPlan> plans = planner.plan(read.classes, next, reader);
      Selector hopeless = reader.tallies.hopeless(given);
      if (hopeless != null) {
        return Selection.refused(Refusals.untraceable(hopeless, reader.tallies));
      }
      plans.addAll(planner.planOthers(plans, Set.copyOf(next.each())));
      int methods = methodCount + ClassPlanner.growth(plans);
      if (methods > maxMethods) {
        return Selection.refused(Refusals.tooMany(methods, maxMethods));
      }
      findings.report();
      selectors = next;
      refusal = "";
      matched.retainAll(next.each());
      untraceable.discardAllBut(next);
      Selection result = Selection.of(plans, reader.tallies);
      if (plans.stream().allMatch(plan -> plan.fresh.isEmpty())) {
        // Collectors read in the newest library which selectors, and which refusal, are in force.
        generations.announce(next);
      }
      apply(plans);
      return result;
    } catch (StubException e) {
      selectors = before;
      throw e;
    } finally {
      announced = Selectors.NONE;
    }
  }

  private void apply(List<ClassPlan> plans) throws StubException {
    Map<TracedClass, List<TracedMethod>> fresh = new LinkedHashMap<>();
    for (ClassPlan plan : plans) {
      plan.untraceable.stream()
          .filter(plan.traced::markReported)
          .forEach(one -> untraceable.add(plan.traced, one));
      if (!plan.fresh.isEmpty()) {
        fresh.put(plan.traced, plan.fresh);
      }
    }
    if (!fresh.isEmpty() || untraceable.hasWaited()) {
      List<UntraceableList.Entry> taken = untraceable.take();
      List<Untraceable> reported = UntraceableList.findings(taken);
      boolean isDone = false;
      try {
        generations.publish(selectors, refusal, reported, fresh);
        isDone = true;
      } finally {
        if (!isDone) {
          untraceable.putBack(taken);
        }
      }
    }
    // After publishing: if no library can be made, nothing has changed.
    methodCount += ClassPlanner.growth(plans);
    for (ClassPlan plan : plans) {
      plan.apply();
      classes.put(plan.traced.key, plan.traced);
      incomplete.update(plan);
      if (!plan.revived.isEmpty() || !plan.retired.isEmpty()) {
        toCheck.add(plan.traced);
      }
    }
  }

  /** Retires every probe: a part of a selection could be mistaken for all of it. */
  private void disable(String reason, Listener listener) throws StubException {
    refusal = reason;
    queue.clear();
    retireMethods();
    generations.publish(selectors, refusal, List.of(), Map.of());
    listener.disabled(reason);
  }

  private void retireMethods() {
    for (TracedClass traced : classes.values()) {
      ClassPlan.keeping(List.of(), traced).apply();
      toCheck.add(traced);
    }
    incomplete.clear();
    methodCount = 0;
  }

  /** Returns the reason why all probes were retired; empty if they were not. */
  public String refusal() {
    return refusal;
  }

  /** Returns every class that was read, including those without selected methods. */
  public Collection<TracedClass> classes() {
    return classes.values();
  }

  /** Returns the method of a {@link TracedMethod#id} with its class; null if none, or retired. */
  public Map.Entry<TracedClass, TracedMethod> findMethod(String id) {
    return generations.find(id);
  }

  /**
   * Polls the semaphores and updates the sinks of all probes. Returns the classes that have changed
   * since the last call: the probes to weave, or a method that was retired or revived.
   */
  public Set<TracedClass> poll() {
    Set<TracedClass> changed = generations.poll();
    if (!toCheck.isEmpty()) {
      toCheck.removeIf(traced -> traced.armed().isEmpty() && traced.wanted().isEmpty());
      changed = Generations.union(changed, toCheck);
      toCheck.clear();
    }
    return changed;
  }

  /** Returns the classes that are not as the attached tracers need them, and could be. */
  public Set<TracedClass> outdated() {
    Set<TracedClass> outdated = new LinkedHashSet<>();
    // A lambda would be one more class, for which memory may not suffice.
    for (TracedClass traced : classes.values()) {
      if (!traced.isUpToDate()) {
        outdated.add(traced);
      }
    }
    return outdated;
  }

  /** Forgets unloaded classes, and retires their probes. */
  public void dropUnloaded() {
    loaderIds.dropCollected();
    generations.unloadUnused(loaderIds.existing());
    classes.values().removeIf(this::isDropped);
  }

  private boolean isDropped(TracedClass traced) {
    boolean isUnloaded = traced.isUnloaded();
    methodCount -= isUnloaded ? traced.methods().size() : 0;
    return isUnloaded;
  }

  /** Lets the queued classes be read at once. Thread-safe. */
  public void hurry() {
    queue.hurry();
  }

  /** Returns true if the class is queued or is being read. Thread-safe. */
  public boolean isPending(ClassLoader loader, String internalName) {
    return queue.isPending(new ClassKey(loader, internalName));
  }

  /** Returns true if classes wait to be read. */
  public boolean hasQueuedClasses() {
    return !queue.isEmpty();
  }

  /** Lists hidden classes that a selector matches: the JVM does not pass them to transformers. */
  public void listHidden() {
    if (refusal.isEmpty() && !selectors.each().isEmpty()) {
      untraceable.addHidden(loadedClasses, selectors, loaderIds);
    }
  }

  /** Returns the selectors that have matched no method; none while classes are to be read. */
  public List<Selector> unmatched() {
    if (!queue.isIdle() || !refusal.isEmpty()) {
      return List.of();
    }
    List<Selector> unmatched = new ArrayList<>(selectors.each());
    unmatched.removeIf(Selector::excludes);
    unmatched.removeAll(matched);
    return unmatched;
  }

  /** Retires all probes and unselects everything. {@link #poll} then returns what to restore. */
  public void retireAll() {
    selectors = Selectors.NONE;
    queue.clear();
    retireMethods();
  }

  /** Takes all stub libraries away from tracers. Their probes must be retired before. */
  public void close() {
    generations.close();
    classes.clear();
  }
}
