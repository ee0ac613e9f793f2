// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import io.jprobe.catalog.Refusals;
import io.jprobe.catalog.Signatures;
import io.jprobe.catalog.Untraceable;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.MethodPart;
import io.jprobe.select.NearestNames;
import io.jprobe.select.SelectableClass;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * Explains why a selector traces no method of the loaded classes, and what to write instead. An
 * explanation is a clause whose subject is the selector.
 */
public final class Explainer {
  /** Maximum number of classes whose methods are looked at. */
  private static final int MAX_CLASSES = 256;

  private static final int MAX_NAMED = 3;
  private static final int MAX_NAME = 160;

  private final LoadedProgram program;
  private final Selectors inForce;
  private final ClassNames names;

  /** The best that a selector comes to match: the methods that match all parts before one. */
  private final Map<MethodPart, Set<String>> missed = new EnumMap<>(MethodPart.class);

  private final Set<String> methodNames = new LinkedHashSet<>();
  private final List<Untraceable> failed = new ArrayList<>();
  private final List<String> traceable = new ArrayList<>();
  private boolean isUnannotated;

  /**
   * @param inForce the selectors in force, whose exclusions apply
   */
  public Explainer(LoadedProgram program, Selectors inForce) {
    this.program = program;
    this.inForce = inForce;
    this.names = new ClassNames(program);
  }

  /** Returns the explanation; empty if a matching method can be traced. */
  public String explain(Selector selector) {
    List<Class<?>> named = program.named(selector);
    if (named.isEmpty()) {
      return names.explain(selector);
    }
    List<Class<?>> classes = new ArrayList<>(named);
    classes.removeIf(LoadedProgram::isHidden);
    if (classes.isEmpty()) {
      Class<?> first = named.get(0);
      return "matches " + cut(first.getName()) + ", and " + Hidden.reason(first, program);
    }
    return explain(selector, classes);
  }

  private String explain(Selector selector, List<Class<?>> classes) {
    missed.clear();
    methodNames.clear();
    failed.clear();
    traceable.clear();
    isUnannotated = false;
    int read = 0;
    List<Class<?>> first = classes.subList(0, Math.min(classes.size(), MAX_CLASSES));
    program.read(first);
    for (Class<?> type : first) {
      ClassFile file = program.file(type);
      if (file != null) {
        read++;
        compare(selector, type, LoadedProgram.selectable(type, file));
      }
    }
    if (!traceable.isEmpty()) {
      return "";
    }
    if (!failed.isEmpty()) {
      return Refusals.clause(selector, failed);
    }
    if (selector.className().isEmpty()) {
      return "matches no class or method" + names.nearestAnnotation(selector.annotation());
    }
    if (read == 0) {
      return "matches "
          + some(classes)
          + ", whose class file cannot be read now; it has probes once the program uses it";
    }
    String more = classes.size() > read ? " of those that were looked at" : "";
    return mismatch(selector, classes, more);
  }

  private void compare(Selector selector, Class<?> type, SelectableClass candidate) {
    if (!selector.hasAnnotation(candidate)) {
      isUnannotated = true;
      return;
    }
    for (MethodFacts method : candidate.file().methods) {
      String text = Signatures.of(method.name, method.descriptor);
      MethodPart part = selector.mismatch(candidate, method);
      if (part == null) {
        String problem = new Finder(program, inForce, 1).problem(selector, type, candidate, method);
        if (problem.isEmpty()) {
          traceable.add(text);
        } else {
          failed.add(Untraceable.of(type.getName(), method, problem, selector));
        }
      } else if (part == MethodPart.NAME) {
        methodNames.add(method.name);
      } else {
        String found = part == MethodPart.RETURN_TYPE ? text + ":" + returned(method) : text;
        missed
            .computeIfAbsent(part, key -> new LinkedHashSet<>())
            .add(type.getName() + "#" + found);
      }
    }
  }

  private static String returned(MethodFacts method) {
    return Signatures.simple(method.returnType().getClassName());
  }

  private String mismatch(Selector selector, List<Class<?>> classes, String more) {
    if (missed.containsKey(MethodPart.RETURN_TYPE)) {
      return "has another type than the method returns; there is " + some(MethodPart.RETURN_TYPE);
    }
    if (missed.containsKey(MethodPart.ARGUMENTS)) {
      String name = selector.firstOfNames();
      return "has other arguments than the method; there is "
          + some(MethodPart.ARGUMENTS)
          + (name.isEmpty()
              ? ""
              : "; are these names of arguments? write arg0, or " + name + "=" + name);
    }
    if (missed.containsKey(MethodPart.ANNOTATION)) {
      return "demands an annotation that the method does not have; without it, it matches "
          + some(MethodPart.ANNOTATION)
          + names.nearestAnnotation(selector.annotation());
    }
    if (missed.containsKey(MethodPart.MODIFIERS)) {
      return "demands modifiers that the method does not have; without them, it matches "
          + some(MethodPart.MODIFIERS);
    }
    if (isUnannotated && methodNames.isEmpty()) {
      return "demands an annotation that "
          + some(classes)
          + (classes.size() == 1 ? " does" : " do")
          + " not have"
          + more
          + names.nearestAnnotation(selector.annotation());
    }
    String inherited = inherited(selector, classes);
    return inherited.isEmpty() ? noMethod(selector, classes, more) : inherited;
  }

  private String noMethod(Selector selector, List<Class<?>> classes, String more) {
    String name = selector.methodName();
    List<String> near =
        new NearestNames(name.replace("*", "")).among(methodNames, program.deadline);
    String whose =
        classes.size() == 1
            ? "matches " + cut(classes.get(0).getName()) + ", which has no method "
            : "matches "
                + classes.size()
                + " loaded classes, none"
                + more
                + " of which has a method ";
    String suggested =
        near.isEmpty() ? among(methodNames, classes.size()) : "; " + NearestNames.question(near);
    return whose + "'" + name + "'" + suggested;
  }

  private static String among(Set<String> methods, int classes) {
    List<String> some =
        methods.stream()
            .filter(name -> name.indexOf('<') < 0 && name.indexOf('$') < 0)
            .limit(2 * MAX_NAMED)
            .map(Explainer::cut)
            .collect(Collectors.toList());
    if (classes > 1 || some.isEmpty()) {
      return "";
    }
    return "; it has " + String.join(", ", some) + (methods.size() > some.size() ? ", ..." : "");
  }

  /** Returns the explanation that the only class inherits the method; empty if it does not. */
  private String inherited(Selector selector, List<Class<?>> classes) {
    if (classes.size() != 1 || selector.methodName().isEmpty()) {
      return "";
    }
    Class<?> type = classes.get(0);
    List<Class<?>> above = LoadedProgram.above(type);
    program.read(above);
    for (Class<?> each : above) {
      ClassFile file = program.file(each);
      if (file != null && hasMethod(selector, LoadedProgram.selectable(each, file))) {
        return "matches "
            + cut(type.getName())
            + ", which does not define '"
            + selector.methodName()
            + "' but inherits it; write '"
            + cut(each.getName())
            + "#"
            + selector.methodName()
            + "'";
      }
    }
    return "";
  }

  private static boolean hasMethod(Selector selector, SelectableClass candidate) {
    return candidate.file().methods.stream()
        .anyMatch(
            method -> !method.name.startsWith("<") && selector.mismatch(candidate, method) == null);
  }

  private String some(MethodPart part) {
    return some(new ArrayList<>(missed.get(part)), each -> each);
  }

  private static String some(List<Class<?>> classes) {
    return some(classes, Class::getName);
  }

  private static <T> String some(List<T> all, Function<T, String> text) {
    String first =
        all.stream()
            .limit(MAX_NAMED)
            .map(each -> cut(text.apply(each)))
            .collect(Collectors.joining(", "));
    int more = all.size() - MAX_NAMED;
    return more > 0 ? first + " and " + more + " more" : first;
  }

  /** Names come from the program, and may be of any length. */
  static String cut(String name) {
    return name.length() <= MAX_NAME ? name : name.substring(0, MAX_NAME) + "...";
  }
}
