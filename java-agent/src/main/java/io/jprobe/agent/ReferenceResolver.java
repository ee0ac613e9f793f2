// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.jprobe.Fire;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Links classes and resolves, with their loaders, all classes that their woven code will refer to.
 * Loaders are the application's code, so they get a deadline.
 */
final class ReferenceResolver {
  /** Time for a loader after other loaders have used up the time of the poll. */
  private static final long MIN_LOADER_NANOS = 20_000_000L;

  private final Transformer transformer;
  private final ApplicationCalls calls;
  private final PendingClasses pending;

  /** End of the time in which this poll waits for class loaders; later ones get the minimum. */
  private long deadline;

  ReferenceResolver(Transformer transformer, ApplicationCalls calls, PendingClasses pending) {
    this.transformer = transformer;
    this.calls = calls;
    this.pending = pending;
  }

  void startPoll() {
    deadline = System.nanoTime() + ApplicationCalls.DEADLINE_NANOS;
  }

  /**
   * Resolves the references of these classes.
   *
   * @return the problems that prevent classes from being woven; those of {@link
   *     PendingClasses#isLate late} classes may be over soon
   */
  Map<TracedClass, String> resolve(List<TracedClass> classes) {
    Map<ClassLoader, Map<TracedClass, Set<TracedMethod>>> byLoader = new IdentityHashMap<>();
    for (TracedClass traced : classes) {
      Class<?> loaded = traced.loaded();
      Set<TracedMethod> fresh = new HashSet<>(traced.wanted().keySet());
      fresh.removeIf(traced::isPrepared);
      boolean isUnlinked = loaded != null && !Linking.isLinked(loaded);
      if (loaded != null && (!fresh.isEmpty() || isUnlinked)) {
        byLoader
            .computeIfAbsent(loaded.getClassLoader(), loader -> new LinkedHashMap<>())
            .put(traced, fresh);
      }
    }
    Map<TracedClass, String> problems = new HashMap<>();
    if (!byLoader.isEmpty() && !canPassObjects()) {
      classes.forEach(traced -> problems.put(traced, WeavingResults.NO_MEMORY));
      return problems;
    }
    byLoader.forEach((loader, methods) -> resolve(loader, methods, problems));
    return problems;
  }

  /**
   * Initializes what woven code calls to pass objects. If that fails, which is for want of memory,
   * no class may be woven: its code would throw.
   */
  private static boolean canPassObjects() {
    try {
      Fire.prepareObjects();
      return true;
    } catch (OutOfMemoryError | LinkageError e) {
      return false;
    }
  }

  private void resolve(
      ClassLoader loader,
      Map<TracedClass, Set<TracedMethod>> methods,
      Map<TracedClass, String> problems) {
    WeavePreparation preparation = new WeavePreparation(transformer, methods);
    try {
      if (loader == null) {
        // The boot loader runs no code of the application.
        preparation.run();
      } else {
        long left = Math.max(deadline - System.nanoTime(), MIN_LOADER_NANOS);
        calls.start(loader, left, preparation).get();
      }
    } catch (OutOfMemoryError e) {
      // Thrown by the loader or by the JVM. If memory is short, the next step fails as well.
      preparation.remaining().forEach(traced -> problems.put(traced, WeavingResults.NO_MEMORY));
    } catch (ApplicationException e) {
      boolean isLate = e.isUnanswered && calls.isLate(loader);
      for (TracedClass traced : preparation.remaining()) {
        problems.put(traced, e.isUnanswered ? e.getMessage() + "; will retry" : e.getMessage());
        if (isLate) {
          pending.addLate(traced);
        } else if (e.isUnanswered) {
          pending.addUnanswered(traced);
        }
      }
    }
    problems.putAll(preparation.problems());
  }
}
