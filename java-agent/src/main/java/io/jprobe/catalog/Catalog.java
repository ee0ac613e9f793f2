// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

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
import java.util.function.BiConsumer;

/**
 * Which method has which probes. Classes are offered by the threads that load them, which must not
 * be held up; reading them and writing stub libraries is left to the watcher's thread.
 *
 * <p>Selected classes arrive in bursts. One stub library is made for each burst: when no class has
 * come for {@link #QUIET_NANOS}, or the first has waited for {@link #PATIENCE_NANOS}.
 */
public final class Catalog {
  private static final long QUIET_NANOS = 100_000_000L;
  private static final long PATIENCE_NANOS = 400_000_000L;

  private final Selectors selectors;
  private final String agentVersion;
  private final String directory;
  private final ConcurrentMap<ClassKey, TracedClass> classes = new ConcurrentHashMap<>();

  // Guarded by `pending`.
  private final Map<ClassKey, byte[]> pending = new LinkedHashMap<>();
  private long firstOffer;
  private long lastOffer;

  private final Set<Selector> matched = ConcurrentHashMap.newKeySet();

  // Of the watcher's thread alone, once the catalogue has been opened.
  private final Names names = new Names();
  private final Map<LoaderKey, Integer> loaderIds = new LinkedHashMap<>();
  private final List<Generation> generations = new ArrayList<>();
  private int nextLoaderId = 1;

  /** @param directory of the stub libraries; null for memfds */
  public Catalog(Selectors selectors, String agentVersion, String directory) {
    this.selectors = selectors;
    this.agentVersion = agentVersion;
    this.directory = directory;
  }

  /** Publishes generation 0, which has no probes and tells collectors that there is an agent. */
  public void open() throws StapsdtException {
    publish(List.of(), List.of());
  }

  /** The description of a class, or null if it has not been published. For any thread. */
  public TracedClass find(ClassLoader loader, String internalName) {
    return classes.get(new ClassKey(loader, internalName));
  }

  /** Tells of a class that a selector may mean, with its class file. For any thread; quick. */
  public void offer(ClassLoader loader, String internalName, byte[] classFile) {
    ClassKey key = new ClassKey(loader, internalName);
    synchronized (pending) {
      lastOffer = System.nanoTime();
      if (pending.isEmpty()) {
        firstOffer = lastOffer;
      }
      pending.putIfAbsent(key, classFile);
    }
  }

  /**
   * Makes a stub library for the classes offered, if the burst is over.
   *
   * @param unreadable is told of class files that cannot be read, with the class's name
   * @return the classes that got probes, with their class files
   */
  Map<TracedClass, byte[]> publishDue(BiConsumer<String, RuntimeException> unreadable)
      throws StapsdtException {
    Map<ClassKey, byte[]> offered = takeDue();
    Map<TracedClass, byte[]> traced = new LinkedHashMap<>();
    List<ProbeDefinition> definitions = new ArrayList<>();
    for (Map.Entry<ClassKey, byte[]> offer : offered.entrySet()) {
      TracedClass one;
      try {
        one = read(offer.getKey(), offer.getValue(), definitions);
      } catch (RuntimeException e) {
        // A class file of a later Java than ASM knows, or one that an obfuscator has bent.
        unreadable.accept(offer.getKey().internalName, e);
        one = new TracedClass(offer.getKey(), 0, List.of());
      }
      if (one.methods.isEmpty()) {
        classes.put(offer.getKey(), one);
      } else {
        traced.put(one, offer.getValue());
      }
    }
    if (!traced.isEmpty()) {
      publish(List.copyOf(traced.keySet()), definitions);
    }
    return traced;
  }

  private Map<ClassKey, byte[]> takeDue() {
    synchronized (pending) {
      long now = System.nanoTime();
      if (pending.isEmpty()
          || (now - lastOffer < QUIET_NANOS && now - firstOffer < PATIENCE_NANOS)) {
        return Map.of();
      }
      Map<ClassKey, byte[]> due = new LinkedHashMap<>(pending);
      pending.clear();
      return due;
    }
  }

  /** Describes a class and adds the definitions of its probes. */
  private TracedClass read(ClassKey key, byte[] classFile, List<ProbeDefinition> definitions) {
    String className = key.internalName.replace('/', '.');
    List<MethodFacts> all = ClassFacts.methodsOf(classFile);
    List<String> probeNames = Names.methodNames(all);
    List<TracedMethod> selected = new ArrayList<>();
    int loaderId = loaderId(key.loader);
    String provider = null;
    for (int i = 0; i < all.size(); i++) {
      MethodFacts facts = all.get(i);
      if (facts.hasCode() && isSelected(className, facts.name)) {
        if (provider == null) {
          provider = names.provider(className, loaderId);
        }
        TracedMethod method = new TracedMethod(facts, probeNames.get(i), definitions.size());
        selected.add(method);
        definitions.addAll(method.definitions(provider));
      }
    }
    return new TracedClass(key, loaderId, selected);
  }

  private boolean isSelected(String className, String method) {
    List<Selector> matching = selectors.matching(className, method);
    matched.addAll(matching);
    return !matching.isEmpty();
  }

  private int loaderId(LoaderKey loader) {
    if (loader.isBoot()) {
      return 0;
    }
    Integer known = loaderIds.get(loader);
    if (known == null) {
      known = nextLoaderId++;
      loaderIds.put(loader, known);
    }
    return known;
  }

  private void publish(List<TracedClass> traced, List<ProbeDefinition> definitions)
      throws StapsdtException {
    int number = generations.size();
    byte[] manifest = Manifest.write(agentVersion, number, selectors, traced);
    StubLibrary library = StubLibrary.load(directory, number, definitions, manifest);
    generations.add(new Generation(library, traced));
    for (TracedClass one : traced) {
      classes.put(one.key, one);
    }
  }

  /** The classes with a probe that somebody has begun or ceased to listen to since the last call. */
  Set<TracedClass> changed() {
    Set<TracedClass> changed = new LinkedHashSet<>();
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
    classes.values().removeIf(TracedClass::isGone);
    loaderIds.keySet().removeIf(LoaderKey::isGone);
  }

  /** The selectors that have matched no method; none, as long as classes wait to be read. */
  public List<Selector> unmatched() {
    synchronized (pending) {
      if (!pending.isEmpty()) {
        return List.of();
      }
    }
    List<Selector> unmatched = new ArrayList<>(selectors.each());
    unmatched.removeAll(matched);
    return unmatched;
  }
}
