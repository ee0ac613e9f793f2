// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** USDT names for Java ones, by contract 2 of the design. Exact names are in the manifest. */
final class Names {
  /** The names of a class's probes by their provider. */
  private final Map<String, Provider> providers = new HashMap<>();

  private static final class Provider {
    final ClassKey owner;
    final Set<String> probes = new HashSet<>();

    Provider(ClassKey owner) {
      this.owner = owner;
    }
  }

  /**
   * A provider name for more probes of a class: its own, unless another class has it, or it had
   * probes of these names before. Other tracers take the same pair of names in two stub libraries
   * for one probe.
   */
  String provider(ClassKey owner, int loaderId, Collection<String> probes) {
    String name = sanitize(owner.internalName);
    String candidate = name;
    // The same class in a second loader; or com.acme.A_B and com.acme.A.B, which look alike.
    for (int attempt = loaderId; !take(candidate, owner, probes); attempt++) {
      candidate = name + "_" + attempt;
    }
    return candidate;
  }

  private boolean take(String candidate, ClassKey owner, Collection<String> probes) {
    Provider provider = providers.computeIfAbsent(candidate, name -> new Provider(owner));
    return provider.owner.equals(owner)
        && Collections.disjoint(provider.probes, probes)
        && provider.probes.addAll(probes);
  }

  /** Frees names that {@link #provider} has given and that were not published after all. */
  void giveBack(String name, Collection<String> probes) {
    Provider provider = providers.get(name);
    provider.probes.removeAll(probes);
    if (provider.probes.isEmpty()) {
      providers.remove(name);
    }
  }

  /** Frees the names of classes whose stub libraries are unmapped. */
  void release(Collection<ClassKey> owners) {
    // By identity: a class that is gone equals nothing any more.
    Set<ClassKey> gone = Collections.newSetFromMap(new IdentityHashMap<>());
    gone.addAll(owners);
    providers.values().removeIf(provider -> gone.contains(provider.owner));
  }

  /** One base name a method, in class-file order: overloads after the first are numbered. */
  static List<String> methodNames(List<MethodFacts> methods) {
    Map<String, Integer> seen = new HashMap<>();
    List<String> names = new ArrayList<>();
    for (MethodFacts method : methods) {
      String name = method.name.startsWith("<") ? special(method.name) : sanitize(method.name);
      int count = seen.merge(name, 1, Integer::sum);
      names.add(count == 1 ? name : name + "__" + count);
    }
    return names;
  }

  private static String special(String name) {
    return name.substring(1, name.length() - 1);
  }

  private static String sanitize(String name) {
    StringBuilder clean = new StringBuilder(name.length());
    for (int i = 0; i < name.length(); i++) {
      char c = name.charAt(i);
      boolean kept = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9';
      clean.append(kept ? c : '_');
    }
    return clean.toString();
  }
}
