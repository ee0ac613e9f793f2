// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Distributes the sets of probes of a class to layers, so that each has at most one set of a
 * method. Each layer is woven around the result of the one before: the set of a method's oldest
 * owner is the innermost, so sets that come and go later are not part of the durations that it
 * measures.
 */
final class Layers {
  private Layers() {}

  /**
   * Returns new maps, innermost layer first; at least one.
   *
   * @param order the methods of the class; of two sets of one method, the inner one comes first
   */
  static List<Map<TracedMethod, EnumSet<ProbeKind>>> of(
      List<TracedMethod> order, Map<TracedMethod, EnumSet<ProbeKind>> armed) {
    List<Map<TracedMethod, EnumSet<ProbeKind>>> layers = new ArrayList<>();
    layers.add(new HashMap<>(armed));
    Set<String> signatures = new HashSet<>();
    armed.keySet().forEach(method -> signatures.add(method.toString()));
    if (signatures.size() == armed.size()) {
      return layers;
    }
    layers.get(0).clear();
    Map<String, Integer> next = new HashMap<>();
    for (TracedMethod method : ordered(order, armed)) {
      int layer = next.merge(method.toString(), 1, Integer::sum) - 1;
      if (layer == layers.size()) {
        layers.add(new HashMap<>());
      }
      layers.get(layer).put(method, armed.get(method));
    }
    return layers;
  }

  /** Returns the armed methods in order; last those that have been retired in the meantime. */
  private static List<TracedMethod> ordered(
      List<TracedMethod> order, Map<TracedMethod, EnumSet<ProbeKind>> armed) {
    List<TracedMethod> ordered = new ArrayList<>(order);
    ordered.retainAll(armed.keySet());
    Set<TracedMethod> retired = new HashSet<>(armed.keySet());
    ordered.forEach(retired::remove);
    ordered.addAll(retired);
    return ordered;
  }
}
