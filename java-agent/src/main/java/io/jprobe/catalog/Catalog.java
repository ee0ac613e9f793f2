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
import java.util.stream.Collectors;

/**
 * Which method has which probes. Classes are offered by the threads that load them, which must not
 * be held up; reading them and writing stub libraries is left to the watcher's thread. Stub
 * libraries are made for each burst of them, and for each change of the selectors that needs one.
 */
public final class Catalog {
  private static final ClassLoader PLATFORM = ClassLoader.getPlatformClassLoader();

  /** What cannot be traced is told with the next probes, or alone when it has waited for this. */
  private static final long UNTRACEABLE_PATIENCE_NANOS = 1_000_000_000L;

  /** What the catalogue has to say. All calls come from the watcher's thread. */
  public interface Listener {
    /** A class file cannot be read: of a later Java, or bent by an obfuscator. */
    void unreadable(String className, Throwable problem);

    /** A selected method cannot be traced, because its selector does not fit it. */
    void unfit(String method, String problem);

    /** Nothing is traced any more, for the reason given: a sentence. */
    void refused(String reason);
  }

  private final int maxMethods;
  private final ApplicationCalls calls;
  private final LoadedClasses loadedClasses;
  private final ConcurrentMap<ClassKey, TracedClass> classes = new ConcurrentHashMap<>();
  private final Offers offers = new Offers();
  private final Set<Selector> matched = ConcurrentHashMap.newKeySet();
  private volatile Selectors selectors;

  /** What is about to be selected: classes that are loaded meanwhile must not be missed. */
  private volatile Selectors announced = Selectors.NONE;

  /** Why all probes were taken back; empty as long as they were not. */
  private volatile String refusal = "";

  // Of the watcher's thread alone, once the catalogue has been opened.
  private final Generations generations;
  private final LoaderIds loaderIds = new LoaderIds();
  private final UntraceableList untraceable = new UntraceableList();
  private final Set<TracedClass> toLookAt = new LinkedHashSet<>();
  private int methodCount;

  /**
   * @param directory of the stub libraries; null for memfds
   * @param maxMethods how many methods may have probes, before none has
   * @param firstGeneration libraries of an agent that was reset may still be there, and count on
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
    this.loadedClasses = loadedClasses;
    this.generations = new Generations(agentVersion, directory, firstGeneration);
  }

  /** Whether a class of this module and loader belongs to the JDK. */
  public static boolean isOfJdk(Module module, ClassLoader loader) {
    if (loader == null || loader == PLATFORM) {
      return true;
    }
    // Compilers and other tools of the JDK are loaded as applications are.
    return module.isNamed()
        && (module.getName().startsWith("java.") || module.getName().startsWith("jdk."));
  }

  /** The number of the library that would be made next. */
  public int nextGeneration() {
    return generations.next();
  }

  /**
   * Publishes a generation that has no methods: it tells collectors that there is an agent, and has
   * the probes of {@link Limits} and a gate for what {@link Guard} tells.
   */
  public StubLibrary open() throws StubException {
    return generations.open(selectors);
  }

  /** Whether a selector may mean the class, of this binary name. For any thread. */
  public boolean maySelect(String className, boolean inJdk) {
    return selectors.mayMatch(className, inJdk) || announced.mayMatch(className, inJdk);
  }

  /** Has classes offered that these selectors may mean: {@link #select} will follow. */
  public void announce(Selectors next) {
    announced = next;
  }

  /** The description of a class, or null if it has not been read. For any thread. */
  public TracedClass find(ClassLoader loader, String internalName) {
    return classes.get(new ClassKey(loader, internalName));
  }

  /**
   * Tells of a class that a selector may mean, with its class file. For any thread; quick.
   *
   * @param inJdk whether it belongs to the JDK
   */
  public void offer(ClassLoader loader, String internalName, boolean inJdk, byte[] classFile) {
    if (refusal.isEmpty()) {
      offers.add(new ClassKey(loader, internalName), new Offer(classFile, inJdk));
    }
  }

  /**
   * Makes a stub library for the classes offered, if the burst is over.
   *
   * @return the classes that got probes, with their class files
   */
  Map<TracedClass, byte[]> publishDue(Listener listener) throws StubException {
    Map<ClassKey, Offer> offered = offers.takeDue();
    if (offered.isEmpty() && !untraceable.hasWaited(UNTRACEABLE_PATIENCE_NANOS)) {
      // So it is at nearly every look, for as long as the program lives.
      return Map.of();
    }
    // Another agent may have had the JVM show a class again while it was being read.
    offered.keySet().removeAll(classes.keySet());
    Map<ClassKey, Offer> taken = new LinkedHashMap<>(offered);
    boolean isDone = false;
    try {
      Map<TracedClass, byte[]> published = publish(offered, listener);
      isDone = true;
      return published;
    } finally {
      if (!isDone) {
        // Where memory, disk space or file descriptors are short, they may not be later.
        offers.putBack(taken);
      }
    }
  }

  private Map<TracedClass, byte[]> publish(Map<ClassKey, Offer> offered, Listener listener)
      throws StubException {
    Map<TracedClass, byte[]> published = new LinkedHashMap<>();
    ClassReading reading = new ClassReading(selectors, matched::add, listener, calls);
    List<ClassPlan> plans = plan(offered, selectors, reading);
    int methods = methodCount + growth(plans);
    if (methods > maxMethods) {
      refuse(tooMany(methods), listener);
      return published;
    }
    apply(plans);
    for (ClassPlan plan : plans) {
      if (!plan.fresh.isEmpty()) {
        published.put(plan.traced, offered.get(plan.traced.key).classFile);
      }
    }
    return published;
  }

  /**
   * Makes other selectors hold: of the classes that were shown every method is decided anew, of the
   * others those keep their probes whose selector is still in force.
   *
   * @param shown every class that a selector which has come or gone may mean
   */
  public Selection select(Selectors next, ShownClasses shown, Listener listener)
      throws StubException {
    Selectors before = selectors;
    try {
      ClassReading reading = new ClassReading(next, matched::add, listener, calls);
      List<ClassPlan> plans = plan(shown.offers, next, reading);
      plans.addAll(planRest(plans, Set.copyOf(next.each())));
      int methods = methodCount + growth(plans);
      if (methods > maxMethods) {
        return Selection.refused(tooMany(methods));
      }
      boolean wasRefused = !refusal.isEmpty();
      selectors = next;
      refusal = "";
      matched.retainAll(next.each());
      Selection done = Selection.of(plans);
      apply(plans);
      if (wasRefused) {
        // The newest library tells collectors whether the refusal still stands.
        publish(List.of(), Map.of());
      }
      return done;
    } catch (StubException e) {
      selectors = before;
      throw e;
    } finally {
      announced = Selectors.NONE;
    }
  }

  /** What becomes of the classes that nobody has planned for. */
  private List<ClassPlan> planRest(List<ClassPlan> plans, Set<Selector> inForce) {
    Set<TracedClass> planned = plans.stream().map(plan -> plan.traced).collect(Collectors.toSet());
    List<ClassPlan> rest = new ArrayList<>();
    for (TracedClass traced : classes.values()) {
      if (!planned.contains(traced)) {
        List<TracedMethod> kept = new ArrayList<>(traced.methods());
        kept.removeIf(method -> !inForce.contains(method.selector()));
        rest.add(new ClassPlan(traced, kept, List.of()));
      }
    }
    return rest;
  }

  /** Reads what is offered, and says what is to become of it. */
  private List<ClassPlan> plan(
      Map<ClassKey, Offer> offered, Selectors wanted, ClassReading reading) {
    List<ClassPlan> plans = new ArrayList<>();
    if (offered.isEmpty()) {
      return plans;
    }
    Supertypes supertypes = new Supertypes(wanted.needSupertypes(), loadedClasses, offered);
    offered.entrySet().removeIf(offer -> isPutOff(offer, supertypes));
    for (Map.Entry<ClassKey, Offer> offer : offered.entrySet()) {
      ClassKey key = offer.getKey();
      TracedClass known = classes.get(key);
      TracedClass traced = known == null ? new TracedClass(key, loaderIds.of(key.loader)) : known;
      plans.add(reading.read(traced, offer.getValue(), () -> supertypes.of(key)));
    }
    return plans;
  }

  /** A class is offered before the JVM has defined it, or has refused to. */
  private boolean isPutOff(Map.Entry<ClassKey, Offer> offer, Supertypes supertypes) {
    boolean isUndefined = supertypes.isUndefined(offer.getKey());
    if (isUndefined && !offer.getValue().isStale()) {
      offers.add(offer.getKey(), offer.getValue());
    }
    return isUndefined;
  }

  private static int growth(Collection<ClassPlan> plans) {
    return plans.stream().mapToInt(ClassPlan::growth).sum();
  }

  private String tooMany(int methods) {
    return String.format(
        "the selectors match %,d methods of the classes loaded so far, more than max-methods=%d"
            + " allows; narrow them, or raise the limit with max-methods=N",
        methods, maxMethods);
  }

  private void apply(List<ClassPlan> plans) throws StubException {
    Map<TracedClass, List<TracedMethod>> fresh = new LinkedHashMap<>();
    for (ClassPlan plan : plans) {
      plan.untraceable.stream().filter(plan.traced::isNews).forEach(untraceable::add);
      if (!plan.fresh.isEmpty()) {
        fresh.put(plan.traced, plan.fresh);
      }
    }
    if (!fresh.isEmpty() || untraceable.hasWaited(UNTRACEABLE_PATIENCE_NANOS)) {
      List<Untraceable> told = untraceable.take();
      boolean isDone = false;
      try {
        publish(told, fresh);
        isDone = true;
      } finally {
        if (!isDone) {
          told.forEach(untraceable::add);
        }
      }
    }
    // Only now: where no library can be made, nothing has changed.
    methodCount += growth(plans);
    for (ClassPlan plan : plans) {
      plan.apply();
      classes.put(plan.traced.key, plan.traced);
      if (!plan.revived.isEmpty() || !plan.retired.isEmpty()) {
        toLookAt.add(plan.traced);
      }
    }
  }

  private void publish(List<Untraceable> told, Map<TracedClass, List<TracedMethod>> fresh)
      throws StubException {
    generations.publish(selectors, refusal, told, fresh);
  }

  /** Takes back every probe: part of a selection would look like all of it. */
  private void refuse(String reason, Listener listener) throws StubException {
    refusal = reason;
    offers.clear();
    retireAll();
    publish(List.of(), Map.of());
    listener.refused(reason);
  }

  private void retireAll() {
    for (TracedClass traced : classes.values()) {
      ClassPlan none = new ClassPlan(traced, List.of(), List.of());
      none.apply();
      toLookAt.add(traced);
    }
    methodCount = 0;
  }

  /** Why all probes were taken back; empty if they were not. */
  public String refusal() {
    return refusal;
  }

  /** Every class that was read, those without a selected method too. */
  public Collection<TracedClass> classes() {
    return classes.values();
  }

  /**
   * The method that control commands call by this name, with its class; null if there is none, or
   * none any more.
   *
   * @param place see {@link TracedMethod#place}
   */
  public Map.Entry<TracedClass, TracedMethod> findPlace(String place) {
    return generations.find(place);
  }

  /**
   * The classes with a probe that somebody has begun or ceased to listen to since the last call, or
   * that has come or gone since.
   */
  public Set<TracedClass> changed() {
    Set<TracedClass> changed = generations.changed();
    if (!toLookAt.isEmpty()) {
      toLookAt.removeIf(traced -> traced.armed().isEmpty() && traced.raised().isEmpty());
      changed = Generations.union(changed, toLookAt);
      toLookAt.clear();
    }
    return changed;
  }

  /** The classes that are not what those who listen want, and could be. */
  Set<TracedClass> unsettled() {
    Set<TracedClass> unsettled = new LinkedHashSet<>();
    // A lambda would be one more class, and there may be no room for it.
    for (TracedClass traced : classes.values()) {
      if (!traced.isSettled()) {
        unsettled.add(traced);
      }
    }
    return unsettled;
  }

  /** Forgets classes whose loaders are gone; their probes' state says so. */
  void retireGone() {
    generations.retireGone();
    classes.values().removeIf(this::isForgotten);
    loaderIds.retireGone();
  }

  private boolean isForgotten(TracedClass traced) {
    boolean isGone = traced.isGone();
    methodCount -= isGone ? traced.methods().size() : 0;
    return isGone;
  }

  /** Whether classes wait to be read. */
  boolean hasOffers() {
    return !offers.isEmpty();
  }

  /** Lists hidden classes that a selector means: nothing is told of them when they are made. */
  void listHidden() {
    if (refusal.isEmpty() && !selectors.each().isEmpty()) {
      untraceable.addHidden(loadedClasses, selectors, loaderIds);
    }
  }

  /** The selectors that have matched no method; none, as long as classes wait to be read. */
  public List<Selector> unmatched() {
    if (!offers.isEmpty() || !refusal.isEmpty()) {
      return List.of();
    }
    List<Selector> unmatched = new ArrayList<>(selectors.each());
    unmatched.removeIf(Selector::excludes);
    unmatched.removeAll(matched);
    return unmatched;
  }

  /** Retires all probes; {@link #changed} tells what is to be restored. */
  public void clear() {
    selectors = Selectors.NONE;
    offers.clear();
    retireAll();
  }

  /** Takes all stub libraries away from tracers; their probes have to be retired before. */
  public void close() {
    generations.close();
    classes.clear();
  }
}
