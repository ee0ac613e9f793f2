// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ClassFiles;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import io.jprobe.stapsdt.ProbeDefinition;
import io.jprobe.stapsdt.StapsdtException;
import io.jprobe.stapsdt.StubLibrary;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/**
 * Which method has which probes. Classes are offered by the threads that load them, which must not
 * be held up; reading them and writing stub libraries is left to the watcher's thread. One stub
 * library is made for each burst of them.
 */
public final class Catalog {
  private static final ClassLoader PLATFORM = ClassLoader.getPlatformClassLoader();

  /** What cannot be traced is told with the next probes, or alone when it has waited for this. */
  private static final long UNTRACEABLE_PATIENCE_NANOS = 1_000_000_000L;

  /** What the catalogue has to say. All calls come from the watcher's thread. */
  public interface Listener {
    /** A class file cannot be read: of a later Java, or bent by an obfuscator. */
    void unreadable(String className, RuntimeException problem);

    /** A selected method cannot be traced, because its selector does not fit it. */
    void unfit(String method, String problem);

    /** Nothing is traced any more, for the reason given: a sentence. */
    void refused(String reason);
  }

  private final Selectors selectors;
  private final String agentVersion;
  private final String directory;
  private final int maxMethods;
  private final LoadedClasses loadedClasses;
  private final ConcurrentMap<ClassKey, TracedClass> classes = new ConcurrentHashMap<>();

  private final Offers offers = new Offers();
  private final Set<Selector> matched = ConcurrentHashMap.newKeySet();
  private volatile boolean isRefused;

  // Of the watcher's thread alone, once the catalogue has been opened.
  private final Names names = new Names();
  private final LoaderIds loaderIds = new LoaderIds();
  private final List<Generation> generations = new ArrayList<>();
  private final UntraceableList untraceable = new UntraceableList();
  private final Set<TracedClass> toRestore = new LinkedHashSet<>();
  private int nextGeneration;
  private int methodCount;

  /**
   * @param directory of the stub libraries; null for memfds
   * @param maxMethods how many methods may have probes, before none has
   */
  public Catalog(
      Selectors selectors,
      String agentVersion,
      String directory,
      int maxMethods,
      LoadedClasses loadedClasses) {
    this.selectors = selectors;
    this.agentVersion = agentVersion;
    this.directory = directory;
    this.maxMethods = maxMethods;
    this.loadedClasses = loadedClasses;
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

  /** Publishes generation 0, which has no probes and tells collectors that there is an agent. */
  public void open() throws StapsdtException {
    publish(manifest(), List.of(), List.of());
  }

  /** The description of a class, or null if it has not been published. For any thread. */
  public TracedClass find(ClassLoader loader, String internalName) {
    return classes.get(new ClassKey(loader, internalName));
  }

  /**
   * Tells of a class that a selector may mean, with its class file. For any thread; quick.
   *
   * @param inJdk whether it belongs to the JDK
   */
  public void offer(ClassLoader loader, String internalName, boolean inJdk, byte[] classFile) {
    if (!isRefused) {
      offers.add(new ClassKey(loader, internalName), new Offer(classFile, inJdk));
    }
  }

  /**
   * Makes a stub library for the classes offered, if the burst is over.
   *
   * @return the classes that got probes, with their class files
   */
  Map<TracedClass, byte[]> publishDue(Listener listener) throws StapsdtException {
    Map<TracedClass, byte[]> traced = readDue(listener);
    int methods = methodCount;
    for (TracedClass one : traced.keySet()) {
      methods += one.methods.size();
    }
    if (methods > maxMethods) {
      refuse(methods, listener);
      return Map.of();
    }
    methodCount = methods;
    boolean hasWaited = untraceable.hasWaited(UNTRACEABLE_PATIENCE_NANOS);
    if (!traced.isEmpty() || hasWaited) {
      Manifest manifest = manifest();
      manifest.add(untraceable.take());
      traced.keySet().forEach(manifest::add);
      List<ProbeDefinition> definitions = new ArrayList<>();
      traced.keySet().forEach(one -> one.define(definitions));
      publish(manifest, List.copyOf(traced.keySet()), definitions);
    }
    return traced;
  }

  private Map<TracedClass, byte[]> readDue(Listener listener) {
    Map<ClassKey, Offer> offered = offers.takeDue();
    // Another agent may have had the JVM show a class again while it was being read.
    offered.keySet().removeAll(classes.keySet());
    Map<TracedClass, byte[]> traced = new LinkedHashMap<>();
    if (offered.isEmpty()) {
      return traced;
    }
    Supertypes supertypes = new Supertypes(selectors.needSupertypes(), loadedClasses, offered);
    offered.entrySet().removeIf(offer -> isPutOff(offer, supertypes));
    ClassReading reading = new ClassReading(selectors, matched::add, untraceable, listener);
    Map<LoaderKey, ClassFiles> files = new LinkedHashMap<>();
    for (Map.Entry<ClassKey, Offer> offer : offered.entrySet()) {
      ClassKey key = offer.getKey();
      TracedClass one =
          reading.read(
              key,
              offer.getValue(),
              loaderIds.of(key.loader),
              () -> supertypes.of(key),
              files.computeIfAbsent(key.loader, loader -> new ClassFiles(loader.get())));
      if (one.methods.isEmpty()) {
        classes.put(key, one);
      } else {
        traced.put(one, offer.getValue().classFile);
      }
    }
    for (TracedClass one : traced.keySet()) {
      one.setProvider(names.provider(one.className(), one.loaderId));
    }
    return traced;
  }

  /** A class is offered before the JVM has defined it, or has refused to. */
  private boolean isPutOff(Map.Entry<ClassKey, Offer> offer, Supertypes supertypes) {
    boolean isUndefined = supertypes.isUndefined(offer.getKey());
    if (isUndefined && !offer.getValue().isStale()) {
      offers.add(offer.getKey(), offer.getValue());
    }
    return isUndefined;
  }

  private Manifest manifest() {
    return new Manifest(agentVersion, nextGeneration, selectors);
  }

  private void publish(
      Manifest manifest, List<TracedClass> traced, List<ProbeDefinition> definitions)
      throws StapsdtException {
    int gates = 0;
    for (TracedClass one : traced) {
      gates += one.methods.size();
    }
    StubLibrary library =
        StubLibrary.load(directory, nextGeneration, definitions, gates, manifest.toByteArray());
    nextGeneration++;
    generations.add(new Generation(library, traced));
    for (TracedClass one : traced) {
      classes.put(one.key, one);
    }
  }

  /** Takes back every probe: part of a selection would look like all of it. */
  private void refuse(int methods, Listener listener) throws StapsdtException {
    isRefused = true;
    offers.clear();
    for (Generation generation : generations) {
      toRestore.addAll(generation.retire());
    }
    String reason =
        String.format(
            "the selectors match %,d methods of the classes loaded so far, more than max-methods=%d"
                + " allows; narrow them, or raise the limit with max-methods=N",
            methods, maxMethods);
    Manifest manifest = manifest();
    manifest.refuse(reason);
    publish(manifest, List.of(), List.of());
    listener.refused(reason);
  }

  /**
   * The classes with a probe that somebody has begun or ceased to listen to since the last call.
   */
  Set<TracedClass> changed() {
    Set<TracedClass> changed = new LinkedHashSet<>(toRestore);
    toRestore.clear();
    for (Generation generation : generations) {
      changed.addAll(generation.changed());
    }
    return changed;
  }

  /** Forgets classes whose loaders are gone; their probes' state says so. */
  void retireGone() {
    for (Generation generation : generations) {
      generation.retireGone();
    }
    classes.values().removeIf(this::isForgotten);
    loaderIds.retireGone();
  }

  private boolean isForgotten(TracedClass traced) {
    boolean isGone = traced.isGone();
    methodCount -= isGone ? traced.methods.size() : 0;
    return isGone;
  }

  /** Lists hidden classes that a selector means: nothing is told of them when they are made. */
  void listHidden() {
    if (!isRefused && !selectors.each().isEmpty()) {
      untraceable.addHidden(loadedClasses, selectors, loaderIds);
    }
  }

  /** The selectors that have matched no method; none, as long as classes wait to be read. */
  public List<Selector> unmatched() {
    if (!offers.isEmpty() || isRefused) {
      return List.of();
    }
    List<Selector> unmatched = new ArrayList<>(selectors.each());
    unmatched.removeIf(Selector::excludes);
    unmatched.removeAll(matched);
    return unmatched;
  }
}
