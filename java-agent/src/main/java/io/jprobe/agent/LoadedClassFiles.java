// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.calls.Call;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.WeakHashMap;

/**
 * Provides the class files of classes that were loaded before they were selected. Links a class
 * first if the agent may do that; otherwise provides it after the program has linked it.
 */
final class LoadedClassFiles {
  /** Timeout for reading. A class takes about 50 us, plus the other agents' transformers. */
  private static final long TIMEOUT_NANOS = 10_000_000_000L;

  private final Transformer transformer;
  private final ApplicationCalls calls;

  private final UnreadableClasses unreadable = new UnreadableClasses();

  /** Classes that were not linked when they were requested. */
  private final Set<Class<?>> unlinked = Collections.newSetFromMap(new WeakHashMap<>());

  /** Reads that have not returned yet. */
  private final List<Call<Map<Class<?>, byte[]>>> late = new ArrayList<>();

  LoadedClassFiles(Transformer transformer, ApplicationCalls calls) {
    this.transformer = transformer;
    this.calls = calls;
  }

  /** Returns class files before main: no code of the application runs, and no thread is started. */
  synchronized Map<Class<?>, byte[]> atStart(List<Class<?>> classes) {
    List<Class<?>> ready = new ArrayList<>();
    for (Class<?> type : classes) {
      if (!Linking.isReady(type)) {
        unlinked.add(type);
      } else if (link(type)) {
        ready.add(type);
      }
    }
    return ready.isEmpty() ? Map.of() : transformer.readClassFiles(ready, unreadable);
  }

  /** Returns the class files that are available now; {@link #late} returns the others. */
  synchronized Map<Class<?>, byte[]> of(List<Class<?>> classes) {
    List<Class<?>> ready = new ArrayList<>();
    Map<ClassLoader, List<Class<?>>> toLink = new IdentityHashMap<>();
    for (Class<?> type : classes) {
      if (Linking.isLinked(type)) {
        ready.add(type);
      } else if (!Linking.isReady(type)) {
        unlinked.add(type);
      } else {
        toLink.computeIfAbsent(type.getClassLoader(), loader -> new ArrayList<>()).add(type);
      }
    }
    toLink.forEach(
        (loader, unlinkedOnes) -> {
          link(loader, unlinkedOnes);
          unlinkedOnes.stream().filter(Linking::isLinked).forEach(ready::add);
        });
    return read(ready);
  }

  /**
   * Returns the class files of those that are linked, or none if that takes longer than the
   * timeout. Links nothing, and remembers nothing for {@link #late}.
   */
  Map<Class<?>, byte[]> ofLinked(List<Class<?>> classes, long timeoutNanos) {
    List<Class<?>> linked = new ArrayList<>(classes);
    linked.removeIf(type -> !Linking.isLinked(type));
    if (linked.isEmpty()) {
      return Map.of();
    }
    try {
      UnreadableClasses skipped = new UnreadableClasses();
      return calls
          .start(null, timeoutNanos, () -> transformer.readClassFiles(linked, skipped))
          .get();
    } catch (ApplicationException e) {
      return Map.of();
    }
  }

  private void link(ClassLoader loader, List<Class<?>> classes) {
    // Added first: if the call does not return, the classes may be linked nevertheless.
    unlinked.addAll(classes);
    try {
      calls.call(
          loader,
          () -> {
            classes.forEach(this::link);
            return null;
          });
    } catch (ApplicationException e) {
      String first = "class " + classes.get(0).getName();
      Log.line(
          (classes.size() == 1 ? first : first + " and " + (classes.size() - 1) + " more")
              + " may have no probes yet: "
              + e.getMessage());
    }
    unlinked.removeIf(Linking::isLinked);
  }

  /** Links a class. Returns true if it is linked. */
  private boolean link(Class<?> type) {
    String problem = Linking.link(type);
    if (problem != null) {
      unreadable.add(type, "its class file cannot be read: " + problem);
    }
    return problem == null;
  }

  private Map<Class<?>, byte[]> read(List<Class<?>> classes) {
    if (classes.isEmpty()) {
      return Map.of();
    }
    try {
      Call<Map<Class<?>, byte[]>> call =
          calls.start(null, TIMEOUT_NANOS, () -> transformer.readClassFiles(classes, unreadable));
      if (call.isDone()) {
        return call.get();
      }
      late.add(call);
      Log.line(
          "reading the class files of selected classes is taking long: they have no probes yet");
    } catch (ApplicationException e) {
      Log.line("selected classes have no probes: " + e.getMessage());
    }
    return Map.of();
  }

  /** Returns classes that cannot be read, with the reasons: each once. */
  Map<Class<?>, String> takeUnreadable() {
    return unreadable.take();
  }

  /** Returns the class files that have become available: the class was linked or read since. */
  synchronized Map<Class<?>, byte[]> late() {
    if (unlinked.isEmpty() && late.isEmpty()) {
      return Map.of();
    }
    Map<Class<?>, byte[]> classFiles = new IdentityHashMap<>();
    List<Call<Map<Class<?>, byte[]>>> returned = new ArrayList<>(late);
    returned.removeIf(call -> !call.isDone());
    late.removeAll(returned);
    for (Call<Map<Class<?>, byte[]>> call : returned) {
      try {
        classFiles.putAll(call.get());
      } catch (ApplicationException e) {
        Log.line("selected classes have no probes: " + e.getMessage());
      }
    }
    List<Class<?>> ready = new ArrayList<>(unlinked);
    ready.removeIf(type -> !Linking.isLinked(type));
    unlinked.removeAll(ready);
    classFiles.putAll(read(ready));
    return classFiles;
  }
}
