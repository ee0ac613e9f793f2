// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.LinkedHashMap;
import java.util.Map;

/** A number for each class loader: 0 is the boot loader, the others count as they are met. */
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

  void retireGone() {
    ids.keySet().removeIf(LoaderKey::isGone);
  }
}
