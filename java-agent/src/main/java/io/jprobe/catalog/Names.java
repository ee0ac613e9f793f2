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

  /**
   * One base name a method, in class-file order: overloads after the first are numbered. A method
   * whose own name looks like that of a numbered one keeps it, and the overload gets the next
   * number that is free.
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
    // What is numbered must not take these, nor each other's.
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

  /** The name with the first number after that of the last overload which nothing else has. */
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
