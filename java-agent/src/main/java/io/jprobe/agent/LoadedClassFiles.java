// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.calls.Call;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.WeakHashMap;

/**
 * The class files of classes that were loaded before anybody asked for them. What is not linked yet
 * is linked first, where that may be; all else is shown when the program has linked it.
 */
final class ClassShows {
  /** Showing a class takes some 50 us; other agents are asked about each as well. */
  private static final long LONGEST_NANOS = 10_000_000_000L;

  private final Instrumentation instrumentation;
  private final Transformer transformer;
  private final ApplicationCalls calls;

  /** How many classes that cannot be linked are worth a line each. */
  private static final int MAX_LINES = 5;

  private int lines;

  /** Those that a line has told of. */
  private final Set<Class<?>> unlinkable = Collections.newSetFromMap(new WeakHashMap<>());

  /** Not linked when they were to be shown. */
  private final Set<Class<?>> unlinked = Collections.newSetFromMap(new WeakHashMap<>());

  /** What has not returned yet. */
  private final List<Call<Map<Class<?>, byte[]>>> late = new ArrayList<>();

  ClassShows(Instrumentation instrumentation, Transformer transformer, ApplicationCalls calls) {
    this.instrumentation = instrumentation;
    this.transformer = transformer;
    this.calls = calls;
  }

  /** Before main there is no code of the application's, and no thread is to be started. */
  synchronized Map<Class<?>, byte[]> atStart(List<Class<?>> classes) {
    List<Class<?>> ready = new ArrayList<>();
    for (Class<?> type : classes) {
      if (!Linking.isReady(type)) {
        unlinked.add(type);
      } else if (isLinkedNow(type)) {
        ready.add(type);
      }
    }
    return ready.isEmpty() ? Map.of() : transformer.show(ready, instrumentation);
  }

  /** The class files of these classes, but for those that come later. */
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
        (loader, some) -> {
          link(loader, some);
          some.stream().filter(Linking::isLinked).forEach(ready::add);
        });
    return show(ready);
  }

  private void link(ClassLoader loader, List<Class<?>> classes) {
    // Until they are linked: nothing else says that one that does not return has got so far.
    unlinked.addAll(classes);
    try {
      calls.call(
          loader,
          () -> {
            classes.forEach(this::isLinkedNow);
            return null;
          });
    } catch (ApplicationException e) {
      String first = "class " + classes.get(0).getName();
      Log.line(
          (classes.size() == 1 ? first : first + ", like " + (classes.size() - 1) + " more,")
              + " may have no probes yet: "
              + e.getMessage());
    }
    unlinked.removeIf(Linking::isLinked);
  }

  private boolean isLinkedNow(Class<?> type) {
    String problem = Linking.problem(type);
    if (problem != null && lines <= MAX_LINES && unlinkable.add(type)) {
      lines++;
      Log.line(
          lines <= MAX_LINES
              ? "class " + type.getName() + " has no probes, the JVM does not show it: " + problem
              : "more classes have no probes, because they cannot be linked");
    }
    return problem == null;
  }

  private Map<Class<?>, byte[]> show(List<Class<?>> classes) {
    if (classes.isEmpty()) {
      return Map.of();
    }
    try {
      Call<Map<Class<?>, byte[]>> call =
          calls.start(null, LONGEST_NANOS, () -> transformer.show(classes, instrumentation));
      if (call.isDone()) {
        return call.get();
      }
      late.add(call);
      Log.line("the JVM does not show classes that are to be traced: they have no probes yet");
    } catch (ApplicationException e) {
      Log.line("classes that are to be traced have no probes: " + e.getMessage());
    }
    return Map.of();
  }

  /** The class files of classes that have been linked since, or whose showing has returned. */
  synchronized Map<Class<?>, byte[]> late() {
    if (unlinked.isEmpty() && late.isEmpty()) {
      return Map.of();
    }
    Map<Class<?>, byte[]> shown = new IdentityHashMap<>();
    List<Call<Map<Class<?>, byte[]>>> returned = new ArrayList<>(late);
    returned.removeIf(call -> !call.isDone());
    late.removeAll(returned);
    for (Call<Map<Class<?>, byte[]>> call : returned) {
      try {
        shown.putAll(call.get());
      } catch (ApplicationException e) {
        Log.line("classes that are to be traced have no probes: " + e.getMessage());
      }
    }
    List<Class<?>> ready = new ArrayList<>(unlinked);
    ready.removeIf(type -> !Linking.isLinked(type));
    unlinked.removeAll(ready);
    shown.putAll(show(ready));
    return shown;
  }
}
