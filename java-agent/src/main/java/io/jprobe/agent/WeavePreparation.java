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

/**
 * Prepares classes of one loader for weaving, one after the other, in a thread that may get stuck
 * with any of them.
 */
final class Preparation implements Call.Body<Void> {
  private final Transformer transformer;
  private final Map<TracedClass, Set<TracedMethod>> methods;

  // Guarded by this.
  private final List<TracedClass> left;
  private final Map<TracedClass, String> problems = new HashMap<>();
  private int leftBefore;

  /**
   * @param methods those that are to be woven of each class
   */
  Preparation(Transformer transformer, Map<TracedClass, Set<TracedMethod>> methods) {
    this.transformer = transformer;
    this.methods = methods;
    this.left = new ArrayList<>(methods.keySet());
    this.leftBefore = left.size();
  }

  @Override
  public Void run() {
    for (TracedClass traced : left()) {
      String problem = problem(traced);
      synchronized (this) {
        left.remove(traced);
        if (problem != null) {
          problems.put(traced, problem);
        }
      }
    }
    return null;
  }

  private String problem(TracedClass traced) {
    Class<?> loaded = traced.loaded();
    if (loaded == null) {
      return "the class is gone";
    }
    String problem = Linking.problem(loaded);
    return problem != null ? problem : transformer.prepare(traced, loaded, methods.get(traced));
  }

  @Override
  public synchronized boolean hasAdvanced() {
    boolean hasAdvanced = left.size() < leftBefore;
    leftBefore = left.size();
    return hasAdvanced;
  }

  /** The classes of which nothing has come yet. */
  synchronized List<TracedClass> left() {
    return new ArrayList<>(left);
  }

  /** Why classes cannot be woven. */
  synchronized Map<TracedClass, String> problems() {
    return new HashMap<>(problems);
  }
}
