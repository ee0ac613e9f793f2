// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.WeakHashMap;

/** Collects the selected classes whose class files cannot be read, each once. Thread-safe. */
final class UnreadableClasses {
  // Guarded by this.
  private final Set<Class<?>> known = Collections.newSetFromMap(new WeakHashMap<>());
  private Map<Class<?>, String> fresh = new LinkedHashMap<>();

  synchronized void add(Class<?> type, String reason) {
    if (known.add(type)) {
      fresh.put(type, reason);
    }
  }

  /** Returns those that were added since the last call, with the reasons. */
  synchronized Map<Class<?>, String> take() {
    if (fresh.isEmpty()) {
      return Map.of();
    }
    Map<Class<?>, String> taken = fresh;
    fresh = new LinkedHashMap<>();
    return taken;
  }
}
