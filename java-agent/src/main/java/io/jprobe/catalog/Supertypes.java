// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The supertypes of the classes of one burst, as the JVM has loaded them. The supertypes of a
 * defined class are loaded, however its loader has found them.
 */
final class Supertypes {
  private final boolean areNeeded;
  private final Map<ClassKey, Class<?>> defined = new HashMap<>();
  private final SupertypeNames names = new SupertypeNames();

  /** Looks up the classes in one scan, if supertypes are needed. */
  Supertypes(boolean areNeeded, LoadedClasses loadedClasses, Map<ClassKey, QueuedClass> queued) {
    this.areNeeded = areNeeded;
    if (!areNeeded) {
      return;
    }
    Map<String, List<ClassKey>> byName = new HashMap<>();
    for (ClassKey key : queued.keySet()) {
      byName
          .computeIfAbsent(key.internalName.replace('/', '.'), name -> new ArrayList<>())
          .add(key);
    }
    for (Class<?> candidate : loadedClasses.all()) {
      for (ClassKey key : byName.getOrDefault(candidate.getName(), List.of())) {
        if (key.loader.isLoaderOf(candidate)) {
          defined.put(key, candidate);
        }
      }
    }
  }

  /**
   * Returns whether the class's supertypes are needed but unknown, because the class is not defined
   * yet.
   */
  boolean isUndefined(ClassKey key) {
    return areNeeded && !defined.containsKey(key);
  }

  /** Returns the binary names of all supertypes, without the class itself. */
  Set<String> of(ClassKey key) {
    return names.of(defined.get(key));
  }
}
