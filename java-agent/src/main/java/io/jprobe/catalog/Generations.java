// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selectors;
import io.jprobe.stub.ProbeDefinition;
import io.jprobe.stub.StubException;
import io.jprobe.stub.StubLibrary;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** The stub libraries of a catalogue, and the USDT names in them. Of the watcher's thread alone. */
final class Generations {
  private final String agentVersion;
  private final String directory;
  private final Names names = new Names();
  private final List<Generation> all = new ArrayList<>();
  private int next;

  /** The contents of one library, before it is made. */
  private static final class Draft {
    final Manifest manifest;
    final Map<TracedClass, List<TracedMethod>> contents = new LinkedHashMap<>();

    Draft(Manifest manifest) {
      this.manifest = manifest;
    }

    void add(TracedClass traced, TracedMethod method) {
      manifest.add(traced, method);
      contents.computeIfAbsent(traced, key -> new ArrayList<>()).add(method);
    }
  }

  /**
   * @param directory of the stub libraries; null for memfds
   * @param first the number of the first library
   */
  Generations(String agentVersion, String directory, int first) {
    this.agentVersion = agentVersion;
    this.directory = directory;
    this.next = first;
  }

  /** The number of the library that would be made next. */
  int next() {
    return next;
  }

  /** Makes the library that has the probes of {@link Limits} and no methods. */
  StubLibrary open(Selectors selectors) throws StubException {
    Manifest manifest = new Manifest(agentVersion, next, selectors, "");
    manifest.addLimits();
    return load(manifest, Limits.definitions(), 1, Map.of());
  }

  /**
   * Makes a library, or several where one would be larger than collectors read. If one cannot be
   * made, none is left.
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
    withRoom(drafts, selectors, refusal);
    for (Untraceable one : untraceable) {
      withRoom(drafts, selectors, refusal).manifest.add(one);
    }
    fresh.forEach(
        (traced, methods) -> {
          for (TracedMethod method : methods) {
            withRoom(drafts, selectors, refusal).add(traced, method);
          }
        });
    publish(drafts);
  }

  private Draft withRoom(List<Draft> drafts, Selectors selectors, String refusal) {
    Draft last = drafts.isEmpty() ? null : drafts.get(drafts.size() - 1);
    if (last == null || last.manifest.isFull()) {
      int number = next + drafts.size();
      last = new Draft(new Manifest(agentVersion, number, selectors, refusal));
      drafts.add(last);
    }
    return last;
  }

  private void publish(List<Draft> drafts) throws StubException {
    int before = all.size();
    Map<String, List<String>> given = new LinkedHashMap<>();
    boolean isDone = false;
    try {
      for (Draft draft : drafts) {
        publish(draft, given);
      }
      isDone = true;
    } finally {
      if (!isDone) {
        List<Generation> made = all.subList(before, all.size());
        made.forEach(Generation::close);
        made.clear();
        given.forEach(names::giveBack);
      }
    }
  }

  /**
   * @param given takes the names of the probes by their provider, for those who have to give them
   *     back
   */
  private void publish(Draft draft, Map<String, List<String>> given) throws StubException {
    List<ProbeDefinition> definitions = new ArrayList<>();
    int gates = 0;
    for (Map.Entry<TracedClass, List<TracedMethod>> each : draft.contents.entrySet()) {
      TracedClass traced = each.getKey();
      List<String> probes =
          each.getValue().stream().map(method -> method.probeName).collect(Collectors.toList());
      String provider = names.provider(traced.key, traced.loaderId, probes);
      given.computeIfAbsent(provider, key -> new ArrayList<>()).addAll(probes);
      each.getValue().forEach(method -> definitions.addAll(method.definitions(provider)));
      gates += each.getValue().size();
    }
    load(draft.manifest, definitions, gates, draft.contents);
  }

  private StubLibrary load(
      Manifest manifest,
      List<ProbeDefinition> definitions,
      int gates,
      Map<TracedClass, List<TracedMethod>> contents)
      throws StubException {
    StubLibrary library =
        StubLibrary.load(directory, next, definitions, gates, manifest.toByteArray());
    all.add(new Generation(next, library, contents));
    next++;
    return library;
  }

  /**
   * The method of that place, with its class; null if there is none, or none any more.
   *
   * @param place see {@link TracedMethod#place}
   */
  Map.Entry<TracedClass, TracedMethod> find(String place) {
    try {
      int colon = place.indexOf(':');
      int number = Integer.parseInt(place.substring(0, Math.max(colon, 0)));
      int index = Integer.parseInt(place.substring(colon + 1));
      for (Generation generation : all) {
        if (generation.number == number) {
          return generation.find(index);
        }
      }
    } catch (NumberFormatException e) {
      // Not a name that we give.
    }
    return null;
  }

  /** See {@link Generation#changed}. */
  Set<TracedClass> changed() {
    Set<TracedClass> changed = Set.of();
    // Nothing is made where nothing has changed: so it is at nearly every look.
    for (int i = 0; i < all.size(); i++) {
      changed = union(changed, all.get(i).changed());
    }
    return changed;
  }

  static Set<TracedClass> union(Set<TracedClass> some, Set<TracedClass> others) {
    if (some.isEmpty() && others.isEmpty()) {
      return some;
    }
    Set<TracedClass> all = new LinkedHashSet<>(some);
    all.addAll(others);
    return all;
  }

  /** Unmaps the libraries whose classes are all gone. */
  void retireGone() {
    for (Iterator<Generation> each = all.iterator(); each.hasNext(); ) {
      Generation generation = each.next();
      generation.retireGone();
      if (generation.isGone()) {
        unload(generation);
        // Last: where memory runs out before, the next look finds it again.
        each.remove();
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

  /** Takes all stub libraries away from tracers; their probes have to be retired before. */
  void close() {
    all.forEach(Generation::close);
    all.clear();
  }
}
