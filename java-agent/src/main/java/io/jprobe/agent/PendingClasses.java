// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.catalog.TracedClass;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Classes that wait to be woven or restored. For the watcher thread only. */
final class PendingClasses {
  private final Instrumentation instrumentation;
  private final ApplicationCalls calls;

  /** Classes to process now, including those that are not found or not linked yet. */
  private final Set<TracedClass> waiting = new LinkedHashSet<>();

  /** Classes whose loaders have not answered in time. */
  private final Set<TracedClass> unanswered = new LinkedHashSet<>();

  /** Classes whose loaders have not answered yet, but may soon; see {@link ApplicationCalls}. */
  private final Set<TracedClass> late = new LinkedHashSet<>();

  /** Classes that could not be linked; the program may link them later. */
  private final Set<TracedClass> unlinked = new LinkedHashSet<>();

  PendingClasses(Instrumentation instrumentation, ApplicationCalls calls) {
    this.instrumentation = instrumentation;
    this.calls = calls;
  }

  void add(Collection<TracedClass> classes) {
    waiting.addAll(classes);
  }

  void add(TracedClass traced) {
    waiting.add(traced);
  }

  /** Adds a class that waits for its loader to answer. */
  void addUnanswered(TracedClass traced) {
    unanswered.add(traced);
  }

  /** Adds a class whose loader may answer soon. */
  void addLate(TracedClass traced) {
    late.add(traced);
  }

  /** Returns true if the loader of the class may answer soon. */
  boolean isLate(TracedClass traced) {
    return late.contains(traced);
  }

  /** Adds a class that waits for the program to link it. */
  void addUnlinked(TracedClass traced) {
    unlinked.add(traced);
  }

  void remove(TracedClass traced) {
    waiting.remove(traced);
  }

  /** Removes the classes to process now. */
  void clear() {
    waiting.clear();
  }

  boolean isEmpty() {
    return waiting.isEmpty() && unanswered.isEmpty() && late.isEmpty() && unlinked.isEmpty();
  }

  /** Returns the classes to process now. */
  Set<TracedClass> waiting() {
    return waiting;
  }

  /** Lets classes be processed whose loaders have answered or that the program has linked. */
  void requeue() {
    if (!unanswered.isEmpty()) {
      List<TracedClass> answered = new ArrayList<>(unanswered);
      answered.removeIf(this::isStuck);
      waiting.addAll(answered);
      unanswered.removeAll(answered);
    }
    if (!late.isEmpty()) {
      // Also those whose loaders will not answer soon after all: they count as failed.
      List<TracedClass> decided = new ArrayList<>(late);
      decided.removeIf(this::mayAnswerSoon);
      waiting.addAll(decided);
      late.removeAll(decided);
    }
    if (!unlinked.isEmpty()) {
      List<TracedClass> linked = new ArrayList<>(unlinked);
      linked.removeIf(traced -> traced.loaded() != null && !Linking.isLinked(traced.loaded()));
      waiting.addAll(linked);
      unlinked.removeAll(linked);
    }
  }

  private boolean isStuck(TracedClass traced) {
    Class<?> loaded = traced.loaded();
    return loaded != null && calls.isStuck(loaded.getClassLoader());
  }

  private boolean mayAnswerSoon(TracedClass traced) {
    Class<?> loaded = traced.loaded();
    return loaded != null
        && calls.isStuck(loaded.getClassLoader())
        && calls.isLate(loaded.getClassLoader());
  }

  /**
   * Looks up the {@link Class} objects of all pending classes in one pass over the loaded classes.
   */
  void bindLoaded() {
    Map<String, List<TracedClass>> unbound = new HashMap<>();
    for (TracedClass traced : waiting) {
      if (traced.loaded() == null) {
        unbound.computeIfAbsent(traced.className(), name -> new ArrayList<>()).add(traced);
      }
    }
    if (unbound.isEmpty()) {
      return;
    }
    for (Class<?> candidate : instrumentation.getAllLoadedClasses()) {
      for (TracedClass traced : unbound.getOrDefault(candidate.getName(), List.of())) {
        traced.bind(candidate);
      }
    }
  }
}
