// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import io.jprobe.select.NearestNames;
import io.jprobe.select.Selector;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** Explains why a selector matches none of the names of the loaded classes. */
final class ClassNames {
  /** Minimum length of a name that may stand for a class of the JDK, which has many. */
  private static final int MIN_OF_JDK = 4;

  private final LoadedProgram program;

  ClassNames(LoadedProgram program) {
    this.program = program;
  }

  /** Returns a clause whose subject is the selector, which no class matches. */
  String explain(Selector selector) {
    String ofJdk = ofJdk(selector);
    if (!ofJdk.isEmpty()) {
      return ofJdk;
    }
    String method = method(selector.className());
    if (!method.isEmpty()) {
      return "matches no loaded class; write '#' before the method: " + method;
    }
    List<String> near = nearest(selector.className());
    if (!near.isEmpty()) {
      return "matches no loaded class; " + NearestNames.question(near);
    }
    return "matches no loaded class" + wrongPackage(selector.className());
  }

  private String ofJdk(Selector selector) {
    if (simple(selector.className()).replace("*", "").isEmpty()) {
      return ofJdksPackages(selector);
    }
    for (Class<?> type : program.classes) {
      if (LoadedProgram.isOfJdk(type) && selector.namesClass(type.getName())) {
        return "matches no class that the program has loaded; for a class of the JDK, spell out its"
            + " package: "
            + Explainer.cut(type.getName());
      }
    }
    return "";
  }

  /** Returns Orders#place for Orders.place, if the class is loaded; otherwise empty. */
  private String method(String written) {
    int dot = written.lastIndexOf('.');
    String className = written.substring(0, Math.max(dot, 0));
    String dotted = className.replace('$', '.');
    boolean isLoaded =
        dot > 0
            && !simple(written).isEmpty()
            && Character.isLowerCase(simple(written).charAt(0))
            && program.classes.stream()
                .anyMatch(type -> type.getName().replace('$', '.').equals(dotted));
    return isLoaded ? className + "#" + written.substring(dot + 1) : "";
  }

  /** Returns the explanation for packages with stars that are all the JDK's, as java.**. */
  private String ofJdksPackages(Selector selector) {
    String written = selector.className();
    String example = "";
    for (Class<?> type : program.classes) {
      String name = type.getName();
      if (!written.startsWith("*") && selector.namesClass(name)) {
        if (!LoadedProgram.isOfJdk(type)) {
          return "";
        }
        boolean isBetter = example.isEmpty() || name.startsWith("java.util.");
        example = isBetter ? type.getPackageName() : example;
      }
    }
    return example.isEmpty()
        ? ""
        : "matches no class that the program has loaded; for classes of the JDK, spell out their"
            + " package, as in "
            + Explainer.cut(example)
            + ".*";
  }

  /** Returns what may be wrong with an annotation. */
  String nearestAnnotation(String written) {
    List<Class<?>> annotations = new ArrayList<>(program.classes);
    annotations.removeIf(type -> !type.isAnnotation());
    List<String> near = nearest(written, annotations);
    boolean isLoaded = annotations.stream().anyMatch(type -> type.getName().equals(written));
    return isLoaded || near.isEmpty()
        ? "; annotations are found if they have retention CLASS or RUNTIME"
        : "; " + NearestNames.question(near);
  }

  private List<String> nearest(String written) {
    return nearest(written, program.classes);
  }

  /** Returns the names of classes that the last part of the written name may stand for. */
  private List<String> nearest(String written, List<Class<?>> classes) {
    String wanted = simple(written).replace("*", "");
    if (wanted.isEmpty()) {
      return List.of();
    }
    // By the last part of their names; classes of the JDK after the others.
    Map<String, List<String>> bySimpleName = new LinkedHashMap<>();
    Map<String, List<String>> ofJdk = new LinkedHashMap<>();
    for (Class<?> type : classes) {
      String name = type.getName();
      if (!LoadedProgram.isHidden(type) && !isAnonymous(simple(name))) {
        (LoadedProgram.isOfJdk(type) ? ofJdk : bySimpleName)
            .computeIfAbsent(simple(name), key -> new ArrayList<>(1))
            .add(name);
      }
    }
    NearestNames nearest = new NearestNames(wanted);
    List<String> found =
        namesOf(nearest.among(bySimpleName.keySet(), program.deadline), bySimpleName, written);
    return found.isEmpty() && wanted.length() >= MIN_OF_JDK
        ? namesOf(nearest.among(ofJdk.keySet(), program.deadline), ofJdk, written)
        : found;
  }

  private static boolean isAnonymous(String simpleName) {
    return simpleName.isEmpty() || Character.isDigit(simpleName.charAt(0));
  }

  private static List<String> namesOf(
      List<String> simpleNames, Map<String, List<String>> bySimpleName, String written) {
    Set<String> names = new LinkedHashSet<>();
    for (String simple : simpleNames) {
      List<String> full = new ArrayList<>(bySimpleName.get(simple));
      // The longest common beginning first: most likely only one part of the name is wrong.
      full.sort((a, b) -> common(b, written) - common(a, written));
      names.addAll(full.subList(0, Math.min(full.size(), NearestNames.MAX_RESULTS)));
    }
    List<String> few = new ArrayList<>(names);
    few.replaceAll(Explainer::cut);
    return few.subList(0, Math.min(few.size(), NearestNames.MAX_RESULTS));
  }

  private static int common(String one, String other) {
    int i = 0;
    while (i < one.length() && i < other.length() && one.charAt(i) == other.charAt(i)) {
      i++;
    }
    return i;
  }

  /** Returns what is wrong with the package of a name whose last part is a star; may be empty. */
  private String wrongPackage(String written) {
    int star = written.indexOf('*');
    int dot = written.lastIndexOf('.', star < 0 ? written.length() : star);
    if (dot <= 0) {
      return "";
    }
    String wanted = written.substring(0, dot);
    Set<String> packages = new TreeSet<>();
    for (Class<?> type : program.classes) {
      for (String name = type.getPackageName(); !name.isEmpty(); name = above(name)) {
        if (!packages.add(name)) {
          break;
        }
      }
    }
    if (packages.contains(wanted)) {
      return "; classes of package " + Explainer.cut(wanted) + " are loaded";
    }
    List<String> near = new NearestNames(wanted).among(packages, program.deadline);
    return "; no loaded class is in package "
        + Explainer.cut(wanted)
        + (near.isEmpty() ? "" : "; " + NearestNames.question(near));
  }

  private static String above(String packageName) {
    return packageName.substring(0, Math.max(packageName.lastIndexOf('.'), 0));
  }

  /** Returns the last part of a name, such as that of a nested class. */
  private static String simple(String name) {
    return name.substring(Math.max(name.lastIndexOf('.'), name.lastIndexOf('$')) + 1);
  }
}
