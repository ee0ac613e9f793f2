// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedPath.Step;
import io.jprobe.classfile.ClassFile;
import io.jprobe.select.NearestNames;
import io.jprobe.select.Path;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import java.util.List;
import org.objectweb.asm.Type;

/** Determines the type of one step of a path from the type before it. */
final class StepTyper {
  private static final Type THREAD = Type.getObjectType("java/lang/Thread");
  private static final Type OBJECT = Type.getObjectType("java/lang/Object");

  /** Maximum number of steps that an error lists, and time to find the nearest. */
  private static final int MAX_LISTED = 6;

  private static final long NEAREST_NANOS = 20_000_000L;

  private final Selector selector;
  private final ClassFiles files;
  private final Members members;
  private final TypeNames types;

  StepTyper(Selector selector, ClassFiles files, Members members, TypeNames types) {
    this.selector = selector;
    this.files = files;
    this.members = members;
    this.types = types;
  }

  /** Returns the typed step, or throws an exception that points to it. */
  Step type(Type type, Path.Step written) throws SelectorException {
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
      files.miss();
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
      files.miss();
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
          isMap(type)
              ? "a value of a map is read by its key, as in .get(\"" + name + "\")"
              : "no field or getter that a path can read has that name" + there(file, written));
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

  private boolean isMap(Type type) {
    return !type.equals(OBJECT) && members.areRelated(type.getInternalName(), "java/util/Map");
  }

  /** Returns which steps the class has instead, with their types; empty if it has none. */
  private String there(ClassFile file, Path.Step written) {
    List<String> names = members.names(file, written.isCall());
    List<String> near =
        new NearestNames(written.name).among(names, System.nanoTime() + NEAREST_NANOS);
    StringBuilder there = new StringBuilder();
    int listed = 0;
    for (String name : near.isEmpty() ? names : near) {
      Step step = written.isCall() ? members.method(file, name) : property(file, name);
      if (step != null && listed++ < MAX_LISTED) {
        there.append(there.length() == 0 ? "; it has " : ", ");
        there.append(name).append(written.isCall() ? "()" : "");
        there.append(" (").append(step.type.getClassName()).append(')');
      }
    }
    return there + (listed > MAX_LISTED ? ", ..." : "");
  }

  /** Returns true for a step that JDKs before 21 lack in Thread; the value is false there. */
  private static boolean isVirtual(Path.Step written) {
    return written.name.equals(written.isCall() ? "isVirtual" : "virtual");
  }

  private SelectorException nothing(Type type, Path.Step written, String reason) {
    String cast =
        type.equals(OBJECT)
            ? "; cast it to its class first, as in ((com.acme.Item) arg0[0]).id"
            : "";
    return selector.error(
        written.column, type.getClassName() + " has no '" + written.name + "': " + reason + cast);
  }
}
