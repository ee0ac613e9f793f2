// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selectors;
import io.jprobe.stub.ProbeDefinition;
import io.jprobe.stub.StubException;
import io.jprobe.stub.StubLibrary;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** The stub libraries of a catalog, and the USDT names in them. For the watcher thread only. */
final class Generations {
  private final String agentVersion;
  private final String directory;
  private final Names names = new Names();
  private final List<Generation> all = new ArrayList<>();
  private final DirectLane direct;
  private int next;

  /** The number of the next library's first probe. */
  private int nextProbe;

  /** True if the sinks may be other ones than those that were requested at the last poll. */
  private boolean mustApply;

  /** Null if the JVM has no virtual threads. */
  private MountProbes mounts;

  /** The library that {@link #announce} has published; null for none. */
  private Generation announcement;

  /** The contents of one library before it is written. */
  private static final class Draft {
    final Manifest manifest;
    final Map<TracedClass, List<TracedMethod>> contents = new LinkedHashMap<>();

    /** Numbers of the loaders of untraceable methods. */
    final Set<Integer> untraceableLoaders = new HashSet<>();

    Draft(Manifest manifest) {
      this.manifest = manifest;
    }

    void add(Untraceable one) {
      manifest.add(one);
      untraceableLoaders.add(one.loaderId);
    }

    void add(TracedClass traced, TracedMethod method) {
      manifest.add(traced, method);
      contents.computeIfAbsent(traced, key -> new ArrayList<>()).add(method);
    }
  }

  /**
   * @param directory the directory of the stub libraries; null for memfds
   * @param first the number of the first library
   * @param direct the memory of the sinks other than traps
   */
  Generations(String agentVersion, String directory, int first, DirectLane direct) {
    this.agentVersion = agentVersion;
    this.directory = directory;
    this.next = first;
    this.direct = direct;
  }

  /** Returns the number of the next library. */
  int next() {
    return next;
  }

  /**
   * Publishes the library that has the {@link LimitProbes} and {@link MountProbes}, and no methods.
   */
  StubLibrary open(Selectors selectors) throws StubException {
    Manifest manifest = new Manifest(agentVersion, next, nextProbe, selectors, "");
    manifest.addLimits();
    List<ProbeDefinition> definitions = new ArrayList<>(LimitProbes.definitions());
    if (MountProbes.exist()) {
      manifest.addMounts();
      definitions.addAll(MountProbes.definitions());
    }
    StubLibrary first = load(new Draft(manifest), definitions, manifest.methods());
    mounts = MountProbes.exist() ? new MountProbes(first) : null;
    direct.publishIn(first);
    return first;
  }

  /**
   * Publishes a library, or several if one would be larger than collectors read. If one of them
   * cannot be made, none is kept.
   *
   * @param refusal see {@link Catalog#refusal}
   */
  void publish(
      Selectors selectors,
      String refusal,
      List<Untraceable> untraceable,
      Map<TracedClass, List<TracedMethod>> fresh)
      throws StubException {
    List<Draft> drafts = new ArrayList<>();
    withSpace(drafts, selectors, refusal);
    for (Untraceable one : untraceable) {
      withSpace(drafts, selectors, refusal).add(one);
    }
    fresh.forEach(
        (traced, methods) -> {
          for (TracedMethod method : methods) {
            withSpace(drafts, selectors, refusal).add(traced, method);
          }
        });
    publish(drafts);
  }

  /**
   * Publishes a library without methods. It replaces the last one, which would say nothing more.
   */
  void announce(Selectors selectors) throws StubException {
    Generation before = announcement;
    StubLibrary library =
        StubLibrary.load(
            directory,
            next,
            List.of(),
            0,
            new Manifest(agentVersion, next, nextProbe, selectors, "").toByteArray());
    announcement = new Generation(next, nextProbe, library, Map.of(), Set.of());
    all.add(announcement);
    next++;
    if (before != null && all.remove(before)) {
      before.close();
    }
  }

  private Draft withSpace(List<Draft> drafts, Selectors selectors, String refusal) {
    Draft last = drafts.isEmpty() ? null : drafts.get(drafts.size() - 1);
    if (last == null || last.manifest.isFull()) {
      int number = next + drafts.size();
      int firstProbe = last == null ? nextProbe : last.manifest.nextProbe();
      last = new Draft(new Manifest(agentVersion, number, firstProbe, selectors, refusal));
      drafts.add(last);
    }
    return last;
  }

  private void publish(List<Draft> drafts) throws StubException {
    int before = all.size();
    Map<String, List<String>> claimed = new LinkedHashMap<>();
    boolean isDone = false;
    try {
      for (Draft draft : drafts) {
        publish(draft, claimed);
      }
      isDone = true;
    } finally {
      if (!isDone) {
        List<Generation> made = all.subList(before, all.size());
        made.forEach(Generation::close);
        made.clear();
        claimed.forEach(names::unclaim);
      }
    }
  }

  /**
   * @param claimed receives the names of the probes by provider; the caller unclaims them on error
   */
  private void publish(Draft draft, Map<String, List<String>> claimed) throws StubException {
    List<ProbeDefinition> definitions = new ArrayList<>();
    int gates = 0;
    for (Map.Entry<TracedClass, List<TracedMethod>> each : draft.contents.entrySet()) {
      TracedClass traced = each.getKey();
      // A name of a second set could be that of another method: two claims cannot clash.
      Map<Integer, List<String>> probes = new TreeMap<>();
      for (TracedMethod method : each.getValue()) {
        probes.computeIfAbsent(method.number(), key -> new ArrayList<>()).add(method.probeName());
      }
      Map<Integer, String> providers = new HashMap<>();
      probes.forEach(
          (number, some) -> {
            String provider = names.claim(traced.key, traced.loaderId, some);
            claimed.computeIfAbsent(provider, key -> new ArrayList<>()).addAll(some);
            providers.put(number, provider);
          });
      for (TracedMethod method : each.getValue()) {
        definitions.addAll(method.definitions(providers.get(method.number())));
      }
      gates += each.getValue().size();
    }
    load(draft, definitions, gates);
    if (draft.contents.values().stream()
        .flatMap(List::stream)
        .anyMatch(method -> method.captures.hasStack())) {
      // Before a collector arms the probes, so that it can read the stacks of a program that exits.
      direct.stacks.open();
    }
  }

  private StubLibrary load(Draft draft, List<ProbeDefinition> definitions, int gates)
      throws StubException {
    StubLibrary library =
        StubLibrary.load(directory, next, definitions, gates, draft.manifest.toByteArray());
    int first = draft.manifest.firstProbe();
    all.add(new Generation(next, first, library, draft.contents, draft.untraceableLoaders));
    next++;
    nextProbe = draft.manifest.nextProbe();
    return library;
  }

  /**
   * Returns the method of this ID with its class; null if there is none or it is retired.
   *
   * @param id see {@link TracedMethod#id}
   */
  Map.Entry<TracedClass, TracedMethod> find(String id) {
    try {
      int colon = id.indexOf(':');
      int number = Integer.parseInt(id.substring(0, Math.max(colon, 0)));
      int index = Integer.parseInt(id.substring(colon + 1));
      Generation generation = find(number);
      return generation == null ? null : generation.find(index);
    } catch (NumberFormatException e) {
      // Not an ID that this class has assigned.
    }
    return null;
  }

  /**
   * Polls all semaphores, and updates the sinks of the probes. Returns the classes with probes that
   * have to be woven now or have not to be any more, or whose state has changed.
   */
  Set<TracedClass> poll() {
    if (mounts != null) {
      mounts.poll();
    }
    mustApply |= direct.isRetryDue();
    // Nearly every poll finds no change, and allocates nothing.
    for (int i = 0; i < all.size(); i++) {
      mustApply |= all.get(i).poll();
    }
    if (!mustApply) {
      direct.release();
      return Set.of();
    }
    int requested = 0;
    for (int i = 0; i < all.size(); i++) {
      requested |= all.get(i).requestedSinks();
    }
    direct.open(requested);
    Set<TracedClass> changed = Set.of();
    for (int i = 0; i < all.size(); i++) {
      changed = union(changed, all.get(i).apply(direct));
    }
    close(direct.available() & ~requested);
    direct.release();
    // If memory runs out before, the next poll does all of it again.
    mustApply = false;
    return changed;
  }

  /** Gives back the memory of sinks, which are off. */
  private void close(int sinks) {
    direct.close(sinks);
    if ((sinks & Sinks.COUNT) != 0) {
      // No lambda: see Catalog.outdated.
      for (Generation generation : all) {
        generation.resetHistograms();
      }
    }
  }

  /** Returns the library of this number; null if there is none. */
  Generation find(int number) {
    for (Generation generation : all) {
      if (generation.number == number) {
        return generation;
      }
    }
    return null;
  }

  /** Returns all libraries. */
  List<Generation> all() {
    return all;
  }

  static Set<TracedClass> union(Set<TracedClass> some, Set<TracedClass> others) {
    if (some.isEmpty() && others.isEmpty()) {
      return some;
    }
    Set<TracedClass> all = new LinkedHashSet<>(some);
    all.addAll(others);
    return all;
  }

  /**
   * Unmaps the libraries whose classes are all unloaded.
   *
   * @param loaders numbers of the loaders that exist
   */
  void unloadUnused(Set<Integer> loaders) {
    for (Iterator<Generation> each = all.iterator(); each.hasNext(); ) {
      Generation generation = each.next();
      generation.retireUnloaded();
      if (generation.isUnused(loaders)) {
        unload(generation);
        // Removed last: if memory runs out before, the next call finds the library again.
        each.remove();
        // Its requests may have been the last ones of a sink.
        mustApply = true;
      }
    }
  }

  private void unload(Generation generation) {
    Set<TracedClass> forgotten = new LinkedHashSet<>(generation.classes());
    for (Generation other : all) {
      if (other != generation) {
        // It may have more probes of the class, under the same names.
        forgotten.removeAll(other.classes());
      }
    }
    names.release(forgotten.stream().map(one -> one.key).collect(Collectors.toList()));
    generation.unload();
  }

  /** Takes all stub libraries away from tracers. Their probes must be retired before. */
  void close() {
    if (mounts != null) {
      mounts.close();
    }
    for (Generation generation : all) {
      generation.turnOff(Sinks.EVENT | Sinks.COUNT);
    }
    direct.shutDown();
    all.forEach(Generation::close);
    all.clear();
  }
}
