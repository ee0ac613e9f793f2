// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedPath.Root;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
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
  private static final Type OBJECT = Type.getObjectType("java/lang/Object");

  private final Selector selector;
  private final ClassFile host;
  private final MethodFacts method;
  private final ClassFiles files;
  private final Members members;
  private final TypeNames types;
  private final Conversions conversions;
  private final Map<String, TypedPath> known = new HashMap<>();

  PathTyper(Selector selector, ClassFile host, MethodFacts method, ClassFiles files) {
    this.selector = selector;
    this.host = host;
    this.method = method;
    this.files = files;
    this.members = new Members(files, host.internalName);
    this.types = new TypeNames(files, host.internalName);
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
      default:
        int index = argument(path);
        return root(Root.ARGUMENT, index, method.argumentTypes()[index], false, text);
    }
  }

  private static TypedPath root(Root root, int argument, Type type, boolean late, String text) {
    return new TypedPath(root, argument, type, List.of(), late, text);
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
    }
    String has =
        count == 0
            ? "has no arguments"
            : "has " + count + (count == 1 ? " argument: " : " arguments: ") + names;
    boolean isField = !path.steps.isEmpty() && !NUMBERED.matcher(path.root).matches();
    throw selector.error(
        path.column,
        "there is no argument '"
            + path.root
            + (isField ? "' and no static field of that name, " : "', ")
            + method
            + " "
            + has);
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
    switch (written.kind) {
      case CAST:
        return cast(type, written);
      case INDEX:
      case GET:
        return element(type, written);
      default:
        return member(type, written);
    }
  }

  private Step cast(Type type, Path.Step written) throws SelectorException {
    if (type.getSort() < Type.ARRAY) {
      throw selector.error(
          written.column, "a value of type " + type.getClassName() + " cannot be cast");
    }
    ClassFile file = types.find(written.name);
    if (file == null) {
      throw selector.error(
          written.column,
          "cannot find the class file of " + written.name + "; write its name with the package");
    }
    if (!members.isNameable(file)) {
      throw selector.error(
          written.column, "the traced class cannot access " + file.internalName.replace('/', '.'));
    }
    Type cast = Type.getObjectType(file.internalName);
    return new Step(Step.Kind.CAST, file.internalName, written.name, cast, false);
  }

  /** Returns the step to an element of an array, list or map. */
  private Step element(Type type, Path.Step written) throws SelectorException {
    boolean isIndex = written.kind == Path.Step.Kind.INDEX;
    if (type.getSort() == Type.ARRAY && isIndex) {
      Type element = Type.getType(type.getDescriptor().substring(1));
      return Step.element(Step.Kind.ELEMENT, written.name, element, written.key);
    }
    ClassFile file = type.getSort() == Type.OBJECT ? files.find(type.getInternalName()) : null;
    boolean isOfElements =
        type.equals(OBJECT)
            || file != null && file.isInterface()
            || type.getSort() == Type.OBJECT && Members.isOfJdk(type.getInternalName());
    if (!isOfElements) {
      throw selector.error(
          written.column,
          type.getClassName()
              + " has no elements that a path can read: expected "
              + (isIndex ? "an array or a list of the JDK" : "a map or a list of the JDK"));
    }
    Step.Kind kind = isIndex ? Step.Kind.ITEM : Step.Kind.GET;
    return Step.element(kind, written.name, OBJECT, written.key);
  }

  private Step member(Type type, Path.Step written) throws SelectorException {
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
    Step step =
        written.isCall() ? members.method(file, written.name) : property(file, written.name);
    if (step == null && type.equals(THREAD) && isVirtual(written)) {
      step = new Step(Step.Kind.FALSE, null, written.name, Type.BOOLEAN_TYPE, false);
    }
    if (step == null) {
      throw written.isCall()
          ? nothing(type, written, "no method that a path can call has that name")
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
      return nothing(type, written, "no field or getter that a path can read has that name");
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

  /** Returns true for a step that JDKs before 21 lack in Thread; the value is false there. */
  private static boolean isVirtual(Path.Step written) {
    return written.name.equals(written.isCall() ? "isVirtual" : "virtual");
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
