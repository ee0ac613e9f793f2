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

/** Derives unique USDT names from Java names. The manifest has the exact Java names. */
final class Names {
  /** The providers by name, with the names of their probes. */
  private final Map<String, Provider> providers = new HashMap<>();

  private static final class Provider {
    final ClassKey owner;
    final Set<String> probes = new HashSet<>();

    Provider(ClassKey owner) {
      this.owner = owner;
    }
  }

  /**
   * Returns a provider name for more probes of a class, and claims it for them. It is the class's
   * own name unless another class has it or the class had probes of these names before. Other
   * tracers confuse probes with the same pair of names in two stub libraries.
   */
  String claim(ClassKey owner, int loaderId, Collection<String> probes) {
    String name = sanitize(owner.internalName);
    String candidate = name;
    // Another class has the name: in a second loader, or com.acme.A_B and com.acme.A.B.
    for (int attempt = loaderId; !tryClaim(candidate, owner, probes); attempt++) {
      candidate = name + "_" + attempt;
    }
    return candidate;
  }

  private boolean tryClaim(String candidate, ClassKey owner, Collection<String> probes) {
    Provider provider = providers.computeIfAbsent(candidate, name -> new Provider(owner));
    return provider.owner.equals(owner)
        && Collections.disjoint(provider.probes, probes)
        && provider.probes.addAll(probes);
  }

  /** Frees names that {@link #claim} has returned and that were not published. */
  void unclaim(String name, Collection<String> probes) {
    Provider provider = providers.get(name);
    provider.probes.removeAll(probes);
    if (provider.probes.isEmpty()) {
      providers.remove(name);
    }
  }

  /** Frees the names of classes whose stub libraries are unmapped. */
  void release(Collection<ClassKey> owners) {
    // Compares by identity, because the key of an unloaded class equals no other key.
    Set<ClassKey> unloaded = Collections.newSetFromMap(new IdentityHashMap<>());
    unloaded.addAll(owners);
    providers.values().removeIf(provider -> unloaded.contains(provider.owner));
  }

  /**
   * Returns one base name per method, in class-file order. Overloads after the first are numbered.
   * If a method's own name equals a numbered one, the method keeps it and the overload gets the
   * next free number.
   */
  static List<String> methodNames(List<MethodFacts> methods) {
    List<String> own = new ArrayList<>();
    List<String> numbered = new ArrayList<>();
    Map<String, Integer> seen = new HashMap<>();
    for (MethodFacts method : methods) {
      String name = clean(method.name);
      int count = seen.merge(name, 1, Integer::sum);
      own.add(name);
      numbered.add(count == 1 ? name : name + "__" + count);
    }
    // A numbered name must differ from these and from the other numbered names.
    Set<String> taken = new HashSet<>(own);
    taken.addAll(numbered);
    for (int i = 0; i < numbered.size(); i++) {
      String name = numbered.get(i);
      if (!name.equals(own.get(i)) && seen.containsKey(name)) {
        numbered.set(i, free(own.get(i), seen.get(own.get(i)), taken));
      }
    }
    return numbered;
  }

  /** Returns the name with the first free number after that of the last overload. */
  private static String free(String name, int last, Set<String> taken) {
    int number = last + 1;
    while (!taken.add(name + "__" + number)) {
      number++;
    }
    return name + "__" + number;
  }

  private static String clean(String name) {
    boolean isSpecial = name.equals("<init>") || name.equals("<clinit>");
    return isSpecial ? name.substring(1, name.length() - 1) : sanitize(name);
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
