// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The supertypes of classes of one burst, as the JVM has linked them: a class that is defined has
 * its supertypes loaded, whatever its loader did to find them.
 */
final class Supertypes {
  private final boolean wanted;
  private final Map<ClassKey, Class<?>> defined = new HashMap<>();

  /** Looks for the classes, if their supertypes are wanted at all: in one walk over all. */
  Supertypes(boolean wanted, LoadedClasses loadedClasses, Map<ClassKey, Offer> offered) {
    this.wanted = wanted;
    if (!wanted) {
      return;
    }
    Map<String, List<ClassKey>> byName = new HashMap<>();
    for (ClassKey key : offered.keySet()) {
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

  /** Whether the class's supertypes are wanted and cannot be told, because it is not defined. */
  boolean isUndefined(ClassKey key) {
    return wanted && !defined.containsKey(key);
  }

  /** Binary names of all supertypes, without the class itself. */
  Set<String> of(ClassKey key) {
    return of(defined.get(key));
  }

  static Set<String> of(Class<?> type) {
    Set<String> names = new HashSet<>();
    add(type, names);
    return names;
  }

  private static void add(Class<?> type, Set<String> names) {
    addIfNew(type.getSuperclass(), names);
    for (Class<?> each : type.getInterfaces()) {
      addIfNew(each, names);
    }
  }

  private static void addIfNew(Class<?> type, Set<String> names) {
    if (type != null && names.add(type.getName())) {
      add(type, names);
    }
  }
}
