// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.calls.Call;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.WeakHashMap;

/**
 * The class files of classes that were loaded before anybody asked for them. The JVM shows what is
 * linked at once. What is not, it would link first: by code of its loader, which may not return, or
 * not at all where the JVM has JDK-8277444. Such a class is shown later.
 */
final class ClassShows {
  /** Showing a class takes some 50 us; other agents are asked about each as well. */
  private static final long LONGEST_NANOS = 10_000_000_000L;

  private final Instrumentation instrumentation;
  private final Transformer transformer;
  private final ApplicationCalls calls;
  private final Linking linking;

  /** Not linked when they were to be shown. */
  private final Set<Class<?>> unlinked = Collections.newSetFromMap(new WeakHashMap<>());

  /** What has not returned yet. */
  private final List<Call<Map<Class<?>, byte[]>>> late = new ArrayList<>();

  ClassShows(
      Instrumentation instrumentation,
      Transformer transformer,
      ApplicationCalls calls,
      Linking linking) {
    this.instrumentation = instrumentation;
    this.transformer = transformer;
    this.calls = calls;
    this.linking = linking;
  }

  /** Before main there is no code of the application's, and no thread is to be started. */
  synchronized Map<Class<?>, byte[]> atStart(List<Class<?>> classes) {
    List<Class<?>> ready = new ArrayList<>();
    for (Class<?> type : classes) {
      if (linking.isReady(type)) {
        ready.add(type);
      } else {
        unlinked.add(type);
      }
    }
    return ready.isEmpty() ? Map.of() : transformer.show(ready, instrumentation);
  }

  /** The class files of these classes, but for those that come later. */
  synchronized Map<Class<?>, byte[]> of(List<Class<?>> classes) {
    Map<Class<?>, byte[]> shown = new IdentityHashMap<>();
    List<Class<?>> ready = new ArrayList<>();
    Map<ClassLoader, List<Class<?>>> toLink = new IdentityHashMap<>();
    for (Class<?> type : classes) {
      if (Linking.isLinked(type)) {
        ready.add(type);
      } else if (linking.mayLink()) {
        toLink.computeIfAbsent(type.getClassLoader(), loader -> new ArrayList<>()).add(type);
      } else {
        unlinked.add(type);
      }
    }
    show(null, ready, shown);
    toLink.forEach((loader, some) -> show(loader, some, shown));
    return shown;
  }

  private void show(ClassLoader loader, List<Class<?>> classes, Map<Class<?>, byte[]> shown) {
    if (classes.isEmpty()) {
      return;
    }
    long nanos = loader == null ? LONGEST_NANOS : ApplicationCalls.DEADLINE_NANOS;
    try {
      Call<Map<Class<?>, byte[]>> call =
          calls.start(loader, nanos, () -> transformer.show(classes, instrumentation));
      if (call.isDone()) {
        shown.putAll(call.get());
      } else {
        late.add(call);
        Log.line(describe(classes) + " has no probes yet: its class loader does not return");
      }
    } catch (ApplicationException e) {
      Log.line(describe(classes) + " has no probes: " + e.getMessage());
    }
  }

  private static String describe(List<Class<?>> classes) {
    String first = "class " + classes.get(0).getName();
    return classes.size() == 1 ? first : first + ", like " + (classes.size() - 1) + " more,";
  }

  /** The class files of classes that have been linked since, or whose showing has returned. */
  synchronized Map<Class<?>, byte[]> late() {
    if (unlinked.isEmpty() && late.isEmpty()) {
      return Map.of();
    }
    Map<Class<?>, byte[]> shown = new HashMap<>();
    List<Call<Map<Class<?>, byte[]>>> returned = new ArrayList<>(late);
    returned.removeIf(call -> !call.isDone());
    late.removeAll(returned);
    for (Call<Map<Class<?>, byte[]>> call : returned) {
      try {
        shown.putAll(call.get());
      } catch (ApplicationException e) {
        Log.line("classes have no probes: " + e.getMessage());
      }
    }
    List<Class<?>> ready = new ArrayList<>();
    for (Class<?> type : unlinked) {
      if (Linking.isLinked(type)) {
        ready.add(type);
      }
    }
    unlinked.removeAll(ready);
    show(null, ready, shown);
    return shown;
  }
}
