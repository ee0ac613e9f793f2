// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.objectweb.asm.Type;

/** The classes of com.acme in the test sources, to match selectors against. */
final class Program {
  private static final List<String> CLASSES =
      List.of(
          "com.acme.Customer",
          "com.acme.Order",
          "com.acme.Order$Line",
          "com.acme.Orders",
          "com.acme.Job",
          "com.acme.Import",
          "com.acme.store.Shelf");

  private final List<SelectableClass> candidates = new ArrayList<>();

  Program() throws Exception {
    for (String name : CLASSES) {
      candidates.add(candidate(name));
    }
  }

  /** Returns a class of the test's class path or of the JDK. */
  static SelectableClass candidate(String name) throws Exception {
    Class<?> type = Class.forName(name, false, Program.class.getClassLoader());
    return new SelectableClass(
        file(name),
        type.getClassLoader() == null,
        () -> withSupertypes(type.getSuperclass(), type));
  }

  static ClassFile file(String name) throws IOException {
    String path = name.replace('.', '/') + ".class";
    try (InputStream bytes = ClassLoader.getSystemResourceAsStream(path)) {
      return ClassFile.read(bytes.readAllBytes());
    }
  }

  private static Set<String> withSupertypes(Class<?> superclass, Class<?> type) {
    Set<String> names = new HashSet<>();
    if (superclass != null) {
      names.add(superclass.getName());
      names.addAll(withSupertypes(superclass.getSuperclass(), superclass));
    }
    for (Class<?> each : type.getInterfaces()) {
      names.add(each.getName());
      names.addAll(withSupertypes(null, each));
    }
    return names;
  }

  /**
   * Returns the selected methods: "Orders.find", or with types if overloaded,
   * "Orders.place(Order)".
   */
  Set<String> selectedBy(Selectors selectors) {
    Set<String> selected = new TreeSet<>();
    for (SelectableClass candidate : candidates) {
      for (MethodFacts method : candidate.file().methods) {
        if (!selectors.matching(candidate, method).isEmpty()) {
          selected.add(label(candidate.file(), method));
        }
      }
    }
    return selected;
  }

  /** Returns all methods of the class of that name. */
  Set<String> methodsOf(String className) {
    Set<String> all = new TreeSet<>();
    for (SelectableClass candidate : candidates) {
      for (MethodFacts method : candidate.file().methods) {
        if (simple(candidate.name()).equals(className)) {
          all.add(label(candidate.file(), method));
        }
      }
    }
    return all;
  }

  private static String label(ClassFile file, MethodFacts method) {
    String name = simple(file.name()) + "." + method.name;
    long overloads = file.methods.stream().filter(each -> each.name.equals(method.name)).count();
    if (overloads == 1) {
      return name;
    }
    List<String> types = new ArrayList<>();
    for (Type type : method.argumentTypes()) {
      types.add(simple(type.getClassName()));
    }
    return name + "(" + String.join(", ", types) + ")";
  }

  private static String simple(String name) {
    return name.substring(name.lastIndexOf('.') + 1).replace('$', '.');
  }
}
