// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/**
 * The names of the supertypes of loaded classes, during one pass over many of them. Asks only their
 * {@link Class} objects: no class is linked or initialized, and no class file is read.
 */
public final class SupertypeNames {
  /** Only of classes that are supertypes themselves: most classes are not. */
  private final Map<Class<?>, Set<String>> known = new IdentityHashMap<>();

  /** Returns the binary names of all supertypes, without the class itself. */
  public Set<String> of(Class<?> type) {
    Set<String> names = new HashSet<>();
    add(type.getSuperclass(), names);
    for (Class<?> each : type.getInterfaces()) {
      add(each, names);
    }
    return names;
  }

  /** Returns what returns them. No lambda: it is called while the program loads classes. */
  Supplier<Set<String>> whenAsked(Class<?> type) {
    return new Supplier<>() {
      @Override
      public Set<String> get() {
        return of(type);
      }
    };
  }

  private void add(Class<?> supertype, Set<String> names) {
    if (supertype == null || !names.add(supertype.getName())) {
      return;
    }
    Set<String> further = known.get(supertype);
    if (further == null) {
      further = of(supertype);
      known.put(supertype, further);
    }
    names.addAll(further);
  }
}
