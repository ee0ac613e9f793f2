// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** Assigns a number to each class loader: 0 to the boot loader, then in order of appearance. */
final class LoaderIds {
  private final Map<LoaderKey, Integer> ids = new LinkedHashMap<>();
  private int next = 1;

  int of(LoaderKey loader) {
    if (loader.isBoot()) {
      return 0;
    }
    Integer known = ids.get(loader);
    if (known == null) {
      known = next++;
      ids.put(loader, known);
    }
    return known;
  }

  void dropCollected() {
    ids.keySet().removeIf(LoaderKey::isCollected);
  }

  /** Returns the numbers of the loaders that exist, including the boot loader. */
  Set<Integer> existing() {
    Set<Integer> existing = new HashSet<>(ids.values());
    existing.add(0);
    return existing;
  }
}
