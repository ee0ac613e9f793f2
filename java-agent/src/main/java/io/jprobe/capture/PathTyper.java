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
  private static final Pattern CONSTANT = Pattern.compile("[A-Z][A-Z0-9_]*");
  private static final Type THREAD = Type.getObjectType("java/lang/Thread");
  private static final Type THROWABLE = Type.getObjectType("java/lang/Throwable");
  private static final Type STRING = Type.getObjectType("java/lang/String");
  private static final Type CLASS = Type.getObjectType("java/lang/Class");
  private static final Type OBJECT = Type.getObjectType("java/lang/Object");

  /** Time to find the nearest roots. */
  private static final long NEAREST_NANOS = 20_000_000L;

  private final Selector selector;
  private final ClassFile host;
  private final MethodFacts method;
  private final ClassFiles files;
  private final Members members;
  private final TypeNames types;
  private final StepTyper stepTyper;
  private final Conversions conversions;
  private final Map<String, TypedPath> known = new HashMap<>();

  PathTyper(Selector selector, ClassFile host, MethodFacts method, ClassFiles files) {
    this.selector = selector;
    this.host = host;
    this.method = method;
    this.files = files;
    this.members = new Members(files, host.internalName);
    this.types = new TypeNames(files, host.internalName);
    this.stepTyper = new StepTyper(selector, files, members, types);
    this.conversions = new Conversions(files);
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
    List<Step> steps = new ArrayList<>();
    int taken = isNamed(path) ? addStatic(path, steps) : 0;
    TypedPath root = taken > 0 ? root(Root.CLASS, 0, OBJECT, false, text) : root(path, text);
    Type type = taken > 0 ? steps.get(0).type : root.type;
    if (root.root == Root.STACK) {
      return root;
    }
    for (Path.Step written : path.steps.subList(taken, path.steps.size())) {
      Step step = step(root.root, type, written);
      steps.add(step);
      type = step.type;
    }
    return root.then(steps);
  }

  /** Returns true if the path begins with no argument, but a name. */
  private boolean isNamed(Path path) {
    switch (path.root) {
      case "this":
      case "return":
      case "exception":
      case "thread":
      case "duration":
      case Path.STACK:
        return false;
      default:
        return indexOf(path.root) < 0;
    }
  }

  /**
   * Adds the step for a static field: {@code com.acme.Config.LIMIT}.
   *
   * @return number of written steps that its name consists of; 0 if there is no such field
   */
  private int addStatic(Path path, List<Step> steps) {
    String name = path.root;
    for (int i = 0; i < path.steps.size(); i++) {
      Path.Step next = path.steps.get(i);
      if (next.kind != Path.Step.Kind.PROPERTY) {
        return 0;
      }
      ClassFile file = types.find(name);
      Step field = file == null ? null : members.staticField(file, next.name);
      if (field != null) {
        steps.add(field);
        return i + 1;
      }
      name += "." + next.name;
    }
    return 0;
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
      case Path.STACK:
        return root(Root.STACK, depth(path), Type.LONG_TYPE, false, text);
      default:
        int index = argument(path);
        return root(Root.ARGUMENT, index, method.argumentTypes()[index], false, text);
    }
  }

  private static TypedPath root(Root root, int argument, Type type, boolean late, String text) {
    return new TypedPath(root, argument, type, List.of(), late, text);
  }

  /** Returns the number of frames in {@code stack(16)}; 0 for all. */
  private int depth(Path path) throws SelectorException {
    if (path.steps.isEmpty()) {
      return 0;
    }
    Path.Step step = path.steps.get(0);
    if (step.kind != Path.Step.Kind.DEPTH || path.steps.size() > 1) {
      Path.Step other = path.steps.get(step.kind == Path.Step.Kind.DEPTH ? 1 : 0);
      throw selector.error(other.column, "a stack has no fields; write stack or stack(16)");
    }
    return ((Long) step.key).intValue();
  }

  /** Returns the index of an argument by its name or number; -1 if there is none. */
  private int indexOf(String argument) {
    int count = method.argumentTypes().length;
    for (int i = 0; i < count; i++) {
      if (method.argumentName(i).equals(argument)) {
        return i;
      }
    }
    Matcher numbered = NUMBERED.matcher(argument);
    int number = numbered.matches() ? Integer.parseInt(numbered.group(1)) : count;
    return number < count ? number : -1;
  }

  private int argument(Path path) throws SelectorException {
    int index = indexOf(path.root);
    if (index >= 0) {
      return index;
    }
    int count = method.argumentTypes().length;
    StringBuilder names = new StringBuilder();
    for (int i = 0; i < count; i++) {
      names.append(i == 0 ? "" : ", ").append(method.argumentName(i));
      names.append(" (").append(method.argumentTypes()[i].getClassName()).append(')');
    }
    String has =
        count == 0
            ? "has no arguments"
            : "has " + count + (count == 1 ? " argument: " : " arguments: ") + names;
    checkStatic(path);
    boolean isField = !path.steps.isEmpty() && !NUMBERED.matcher(path.root).matches();
    throw selector.error(
        path.column,
        "there is no argument '"
            + path.root
            + (isField ? "' and no static field of that name, " : "', ")
            + method
            + " "
            + has
            + (CONSTANT.matcher(path.root).matches() && path.steps.isEmpty()
                ? "; write \"" + path.root + "\" for a constant of an enum"
                : suggested(path.root)));
  }

  /** Throws an exception if the path begins with the name of a class that lacks the field. */
  private void checkStatic(Path path) throws SelectorException {
    String name = path.root;
    for (Path.Step next : path.steps) {
      ClassFile file = types.find(name);
      boolean isNested = types.find(name + "." + next.name) != null;
      if (next.kind != Path.Step.Kind.PROPERTY || file != null && !isNested) {
        if (file != null) {
          throw selector.error(
              next.column,
              file.internalName.replace('/', '.')
                  + " has no static field "
                  + next.name
                  + (next.isCall() ? ", and static methods are not called" : ""));
        }
        return;
      }
      name += "." + next.name;
    }
  }

  /** Returns a question whether another root was meant; empty if none is near. */
  private String suggested(String root) {
    List<String> roots =
        new ArrayList<>(List.of("this", "return", "exception", "thread", "duration", Path.STACK));
    for (int i = 0; i < method.argumentTypes().length; i++) {
      roots.add(method.argumentName(i));
    }
    List<String> near = new NearestNames(root).among(roots, System.nanoTime() + NEAREST_NANOS);
    return near.isEmpty() ? "" : "; " + NearestNames.question(near);
  }

  private Step step(Root root, Type type, Path.Step written) throws SelectorException {
    Step step = stepTyper.type(type, written);
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

  /** Returns the path extended by a conversion; null if there is none for its type. */
  TypedPath converted(TypedPath path, Step conversion) {
    return conversion == null
        ? null
        : known.computeIfAbsent(
            path + " as " + conversion.name, key -> path.then(List.of(conversion)));
  }

  Conversions conversions() {
    return conversions;
  }
}
