// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.Call;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Prepares the classes of one loader for weaving, in a thread that any of them may block. */
final class WeavePreparation implements Call.Body<Void> {
  private final Transformer transformer;
  private final Map<TracedClass, Set<TracedMethod>> methods;

  // Guarded by this.
  private final List<TracedClass> remaining;
  private final Map<TracedClass, String> problems = new HashMap<>();
  private int remainingBefore;

  /**
   * @param methods the methods to weave of each class
   */
  WeavePreparation(Transformer transformer, Map<TracedClass, Set<TracedMethod>> methods) {
    this.transformer = transformer;
    this.methods = methods;
    this.remaining = new ArrayList<>(methods.keySet());
    this.remainingBefore = remaining.size();
  }

  @Override
  public Void run() {
    for (TracedClass traced : remaining()) {
      String problem = prepare(traced);
      synchronized (this) {
        remaining.remove(traced);
        if (problem != null) {
          problems.put(traced, problem);
        }
      }
    }
    return null;
  }

  private String prepare(TracedClass traced) {
    Class<?> loaded = traced.loaded();
    if (loaded == null) {
      return "the class was unloaded";
    }
    String problem = Linking.link(loaded);
    return problem != null ? problem : transformer.prepare(traced, loaded, methods.get(traced));
  }

  @Override
  public synchronized boolean hasAdvanced() {
    boolean hasAdvanced = remaining.size() < remainingBefore;
    remainingBefore = remaining.size();
    return hasAdvanced;
  }

  /** Returns the classes that are not prepared yet. */
  synchronized List<TracedClass> remaining() {
    return new ArrayList<>(remaining);
  }

  /** Returns the problems that prevent classes from being woven. */
  synchronized Map<TracedClass, String> problems() {
    return new HashMap<>(problems);
  }
}
