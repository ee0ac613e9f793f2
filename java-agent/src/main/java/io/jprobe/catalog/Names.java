// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** USDT names for Java ones, by contract 2 of the design. Exact names are in the manifest. */
final class Names {
  private final Set<String> providers = new HashSet<>();

  /** A provider name that no stub library of this JVM has had. */
  String provider(String className, int loaderId) {
    String name = sanitize(className);
    String candidate = name;
    for (int attempt = loaderId; !providers.add(candidate); attempt++) {
      // The same class in a second loader; or com.acme.A_B and com.acme.A.B, which look alike.
      candidate = name + "_" + attempt;
    }
    return candidate;
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
