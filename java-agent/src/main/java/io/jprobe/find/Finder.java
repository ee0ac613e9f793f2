// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import io.jprobe.capture.Captures;
import io.jprobe.capture.ClassFiles;
import io.jprobe.catalog.Traceability;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.SelectableClass;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.objectweb.asm.Opcodes;

/** Lists the loaded classes and methods that a selector matches, and whether they can be traced. */
public final class Finder {
  private static final int METHOD_MODIFIERS =
      Modifier.methodModifiers() & ~(Modifier.NATIVE | Modifier.STRICT);

  private final LoadedProgram program;
  private final Selectors inForce;
  private final Map<ClassLoader, ClassFiles> beside = new IdentityHashMap<>();
  private final List<Found> found = new ArrayList<>();
  private final int most;
  private boolean hasMore;
  private int matchingClasses;

  /**
   * @param inForce the selectors in force, whose exclusions apply
   * @param most maximum number of classes and methods
   */
  public Finder(LoadedProgram program, Selectors inForce, int most) {
    this.program = program;
    this.inForce = inForce;
    this.most = most;
  }

  /**
   * Finds methods, in the order of their classes' names; hidden classes come last, because there
   * may be thousands.
   *
   * @param areClasses whether only the classes were given: then several classes are listed without
   *     their methods
   */
  public List<Found> find(Selector selector, boolean areClasses) {
    List<Class<?>> named = new ArrayList<>(program.named(selector));
    named.sort(Comparator.comparing(LoadedProgram::isHidden).thenComparing(Class::getName));
    matchingClasses = named.size();
    boolean withMethods = !areClasses || named.size() == 1;
    for (int i = 0; i < named.size() && !isFull(); i++) {
      Class<?> type = named.get(i);
      if (LoadedProgram.isHidden(type)) {
        add(classFound(type, Hidden.reason(type, program)));
      } else if (!withMethods) {
        add(classFound(type, ""));
      } else {
        addMethods(selector, type, named.subList(i, Math.min(i + 64, named.size())), areClasses);
      }
    }
    return found;
  }

  /** Returns true if there may be more than what was found: there are too many, or time is up. */
  public boolean hasMore() {
    return hasMore;
  }

  /** Returns the number of classes that the selector matches, by their names and supertypes. */
  public int matchingClasses() {
    return matchingClasses;
  }

  private boolean isFull() {
    hasMore |= found.size() >= most || program.isLate();
    return hasMore;
  }

  private void add(Found one) {
    if (!isFull()) {
      found.add(one);
    }
  }

  private static Found classFound(Class<?> type, String reason) {
    return new Found(type, "", "", kind(type), reason, List.of());
  }

  private static String kind(Class<?> type) {
    if (type.isAnnotation()) {
      return "annotation";
    }
    if (type.isInterface()) {
      return "interface";
    }
    if (type.isEnum()) {
      return "enum";
    }
    Class<?> above = type.getSuperclass();
    if (above != null && above.getName().equals("java.lang.Record")) {
      return "record";
    }
    return Modifier.isAbstract(type.getModifiers()) ? "abstract class" : "class";
  }

  private void addMethods(
      Selector selector, Class<?> type, List<Class<?>> ahead, boolean withClass) {
    program.read(ahead);
    ClassFile file = program.file(type);
    if (file == null) {
      add(classFound(type, "its class file cannot be read now; the program may not use it yet"));
      return;
    }
    if (withClass) {
      add(classFound(type, ""));
    }
    SelectableClass candidate = LoadedProgram.selectable(type, file);
    for (MethodFacts method : file.methods) {
      if (isFull()) {
        return;
      }
      if (selector.matches(candidate, method)) {
        List<String> arguments = new ArrayList<>();
        for (int i = 0; i < method.argumentTypes().length; i++) {
          String name = method.argumentName(i);
          arguments.add(name.equals("arg" + i) ? "" : name);
        }
        add(
            new Found(
                type,
                method.name,
                method.descriptor,
                Modifier.toString(method.access & METHOD_MODIFIERS & ~ABUSED_FLAGS),
                problem(selector, type, candidate, method),
                arguments));
      }
    }
  }

  /** ACC_BRIDGE and ACC_VARARGS have the numbers of modifiers of fields. */
  private static final int ABUSED_FLAGS = Opcodes.ACC_BRIDGE | Opcodes.ACC_VARARGS;

  /** Returns why the method cannot be traced; empty if it can. */
  String problem(Selector selector, Class<?> type, SelectableClass candidate, MethodFacts method) {
    Traceability.Problem problem = Traceability.problem(candidate, method);
    if (problem != null) {
      return problem.reason;
    }
    for (Selector each : inForce.each()) {
      if (each.excludes() && each.matches(candidate, method)) {
        return "it is excluded by '" + each + "'";
      }
    }
    ClassFiles files =
        beside.computeIfAbsent(
            type.getClassLoader(), loader -> new ClassFiles(loader, program.calls));
    files.add(candidate.file());
    try {
      Captures.of(selector, candidate.file(), method, files);
      return "";
    } catch (SelectorException e) {
      return e.getMessage();
    }
  }
}
