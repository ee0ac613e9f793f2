// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedPath.Root;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.NearestNames;
import io.jprobe.select.Path;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/** Determines the types of one selector's paths in one method. Equal texts share a path. */
final class PathTyper {
  private static final Pattern NUMBERED = Pattern.compile("arg(\\d{1,3})");
  private static final Type THREAD = Type.getObjectType("java/lang/Thread");
  private static final Type THROWABLE = Type.getObjectType("java/lang/Throwable");
  private static final Type STRING = Type.getObjectType("java/lang/String");
  private static final Type CLASS = Type.getObjectType("java/lang/Class");

  /** Maximum number of steps that an error lists, and time to find the nearest. */
  private static final int MAX_LISTED = 6;

  private static final long NEAREST_NANOS = 20_000_000L;

  private final Selector selector;
  private final ClassFile host;
  private final MethodFacts method;
  private final ClassFiles files;
  private final Members members;
  private final Map<String, TypedPath> known = new HashMap<>();

  PathTyper(Selector selector, ClassFile host, MethodFacts method, ClassFiles files) {
    this.selector = selector;
    this.host = host;
    this.method = method;
    this.files = files;
    this.members = new Members(files, host.internalName);
  }

  /**
   * Returns the typed path, or throws an exception that points to the step that does not resolve.
   */
  TypedPath type(Path path) throws SelectorException {
    String text = path.toString();
    TypedPath typed = known.get(text);
    if (typed == null) {
      typed = find(path, text);
      known.put(text, typed);
    }
    return typed;
  }

  private TypedPath find(Path path, String text) throws SelectorException {
    TypedPath root = root(path, text);
    List<Step> steps = new ArrayList<>();
    Type type = root.type;
    for (Path.Step written : path.steps) {
      Step step = step(root.root, type, written);
      steps.add(step);
      type = step.type;
    }
    return root.then(steps);
  }

  private TypedPath root(Path path, String text) throws SelectorException {
    switch (path.root) {
      case "this":
        if (method.isStatic()) {
          throw selector.error(path.column, method.name + " is static and has no this");
        }
        Type type = Type.getObjectType(host.internalName);
        return root(Root.THIS, 0, type, method.isConstructor(), text);
      case "return":
        if (method.returnType().getSort() == Type.VOID) {
          throw selector.error(path.column, method.name + " returns nothing");
        }
        return root(Root.RETURN, 0, method.returnType(), true, text);
      case "exception":
        return root(Root.EXCEPTION, 0, THROWABLE, true, text);
      case "thread":
        return root(Root.THREAD, 0, THREAD, false, text);
      case "duration":
        return root(Root.DURATION, 0, Type.LONG_TYPE, true, text);
      default:
        int index = argument(path);
        return root(Root.ARGUMENT, index, method.argumentTypes()[index], false, text);
    }
  }

  private static TypedPath root(Root root, int argument, Type type, boolean late, String text) {
    return new TypedPath(root, argument, type, List.of(), late, text);
  }

  private int argument(Path path) throws SelectorException {
    int count = method.argumentTypes().length;
    StringBuilder names = new StringBuilder();
    for (int i = 0; i < count; i++) {
      if (method.argumentName(i).equals(path.root)) {
        return i;
      }
      names.append(i == 0 ? "" : ", ").append(method.argumentName(i));
      names.append(" (").append(method.argumentTypes()[i].getClassName()).append(')');
    }
    Matcher numbered = NUMBERED.matcher(path.root);
    if (numbered.matches() && Integer.parseInt(numbered.group(1)) < count) {
      return Integer.parseInt(numbered.group(1));
    }
    String has =
        count == 0
            ? "has no arguments"
            : "has " + count + (count == 1 ? " argument: " : " arguments: ") + names;
    throw selector.error(
        path.column,
        "there is no argument '" + path.root + "', " + method + " " + has + suggested(path.root));
  }

  /** Returns a question whether another root was meant; empty if none is near. */
  private String suggested(String root) {
    List<String> roots =
        new ArrayList<>(List.of("this", "return", "exception", "thread", "duration"));
    for (int i = 0; i < method.argumentTypes().length; i++) {
      roots.add(method.argumentName(i));
    }
    List<String> near = new NearestNames(root).among(roots, System.nanoTime() + NEAREST_NANOS);
    return near.isEmpty() ? "" : "; " + NearestNames.question(near);
  }

  private Step step(Root root, Type type, Path.Step written) throws SelectorException {
    Step step = lookUp(type, written);
    // Excludes exceptions: this would be recursive only if getMessage itself threw one.
    if (step.kind == Step.Kind.METHOD
        && root != Root.EXCEPTION
        && method.toString().startsWith(step.name + "()")
        && members.areRelated(host.internalName, type.getInternalName())) {
      throw selector.error(
          written.column, "the capture would call its own method recursively, without end");
    }
    return step;
  }

  private Step lookUp(Type type, Path.Step written) throws SelectorException {
    if (type.getSort() == Type.ARRAY) {
      if (written.name.equals("length") || written.name.equals("size")) {
        return new Step(Step.Kind.LENGTH, null, written.name, Type.INT_TYPE, false);
      }
      throw nothing(type, written, "an array has only a length");
    }
    if (type.getSort() != Type.OBJECT) {
      throw nothing(type, written, "it is not an object");
    }
    ClassFile file = files.find(type.getInternalName());
    if (file == null) {
      String problem = files.problem(type.getInternalName());
      throw selector.error(
          written.column,
          "cannot find the class file of "
              + type.getClassName()
              + (problem == null ? "" : ": " + problem));
    }
    Step step = written.isCall ? members.method(file, written.name) : property(file, written.name);
    if (step == null && type.equals(THREAD) && isVirtual(written)) {
      step = new Step(Step.Kind.FALSE, null, written.name, Type.BOOLEAN_TYPE, false);
    }
    if (step == null) {
      throw written.isCall
          ? nothing(
              type, written, "no method that a path can call has that name" + there(file, written))
          : noProperty(type, file, written);
    }
    return step;
  }

  /** Returns the step for a field, a record component or a getter; null if there is none. */
  private Step property(ClassFile file, String name) {
    Step step = members.field(file, name);
    if (step == null && file.recordComponents.contains(name)) {
      step = members.method(file, name);
    }
    if (step == null) {
      step = members.method(file, getter("get", name));
    }
    return step == null ? members.method(file, getter("is", name)) : step;
  }

  private static String getter(String prefix, String name) {
    return prefix + Character.toUpperCase(name.charAt(0)) + name.substring(1);
  }

  /**
   * Returns the error for a step that is neither a field nor a getter. Other methods may have side
   * effects, so they must be written as calls.
   */
  private SelectorException noProperty(Type type, ClassFile file, Path.Step written) {
    String name = written.name;
    if (members.method(file, name) == null) {
      return nothing(
          type,
          written,
          "no field or getter that a path can read has that name" + there(file, written));
    }
    return selector.error(
        written.column,
        type.getClassName()
            + " has no field "
            + name
            + " and no getter "
            + getter("get", name)
            + "() or "
            + getter("is", name)
            + "(); write ."
            + name
            + "() to call the method, whose code then runs in the traced thread");
  }

  /** Returns which steps the class has instead, with their types; empty if it has none. */
  private String there(ClassFile file, Path.Step written) {
    List<String> names = members.names(file, written.isCall);
    List<String> near =
        new NearestNames(written.name).among(names, System.nanoTime() + NEAREST_NANOS);
    StringBuilder there = new StringBuilder();
    int listed = 0;
    for (String name : near.isEmpty() ? names : near) {
      Step step = written.isCall ? members.method(file, name) : property(file, name);
      if (step != null && listed++ < MAX_LISTED) {
        there.append(there.length() == 0 ? "; it has " : ", ");
        there.append(name).append(written.isCall ? "()" : "");
        there.append(" (").append(step.type.getClassName()).append(')');
      }
    }
    return there + (listed > MAX_LISTED ? ", ..." : "");
  }

  /** Returns true for a step that JDKs before 21 lack in Thread; the value is false there. */
  private static boolean isVirtual(Path.Step written) {
    return written.name.equals(written.isCall ? "isVirtual" : "virtual");
  }

  private SelectorException nothing(Type type, Path.Step written, String reason) {
    return selector.error(
        written.column, type.getClassName() + " has no '" + written.name + "': " + reason);
  }

  // ---- default captures ----

  TypedPath usualArgument(int index) {
    return shared(root(Root.ARGUMENT, index, method.argumentTypes()[index], false, "arg" + index));
  }

  TypedPath usualReturn() {
    return shared(root(Root.RETURN, 0, method.returnType(), true, "return"));
  }

  /** Returns the path that a condition already uses for the same value, or the given one. */
  private TypedPath shared(TypedPath usual) {
    for (TypedPath path : known.values()) {
      if (path.root == usual.root && path.argument == usual.argument && path.steps.isEmpty()) {
        return path;
      }
    }
    return usual;
  }

  TypedPath usualException() {
    return root(Root.EXCEPTION_CLASS, 0, STRING, true, "");
  }

  // ---- comparisons with strings ----

  /**
   * Returns the path to the name of an enum's constant or of an exception's class; otherwise null.
   */
  TypedPath named(TypedPath path) {
    String text = path.toString();
    if (path.root == Root.EXCEPTION && path.steps.isEmpty()) {
      return known.computeIfAbsent(
          text + " named",
          key ->
              path.then(
                  List.of(
                      new Step(Step.Kind.METHOD, "java/lang/Object", "getClass", CLASS, false),
                      new Step(Step.Kind.METHOD, "java/lang/Class", "getName", STRING, false))));
    }
    ClassFile file =
        path.type.getSort() == Type.OBJECT ? files.find(path.type.getInternalName()) : null;
    Step name =
        file != null && (file.access & Opcodes.ACC_ENUM) != 0 ? members.method(file, "name") : null;
    return name == null
        ? null
        : known.computeIfAbsent(text + " named", key -> path.then(List.of(name)));
  }
}
