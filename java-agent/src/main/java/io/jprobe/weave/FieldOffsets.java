// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.calls.ApplicationException;
import io.jprobe.capture.TypedPath;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.stub.LoadedClass;
import java.jprobe.Fire;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;
import org.objectweb.asm.Type;

/**
 * Offsets of fields that are private to other classes, and of static fields. They are determined
 * before a class is woven, because this may load classes (it initializes none), which must not
 * happen inside a transformation.
 *
 * <p>A read by offset is not type-checked: a wrong offset or type could crash the JVM. So the
 * offsets come from the fields of the loaded classes, not from class files, which may have another
 * version or be changed by another agent. The value of such a field is treated as an instance of
 * its actual class, because the host's loader may map the name to a different class. The JVM links
 * everything else in the host's namespace, with the declared types.
 */
final class FieldOffsets {
  // A step equals no other one. Weak, because the steps of unloaded classes are collected.
  private final Map<Step, Long> offsets = Collections.synchronizedMap(new WeakHashMap<>());
  private final Map<Step, String> problems = Collections.synchronizedMap(new WeakHashMap<>());

  /** Determines the offsets that one method of a linked class needs. */
  void find(Class<?> host, TracedMethod method) {
    for (TypedPath path : method.captures.paths()) {
      Type type = path.rootType;
      Class<?> real = null;
      for (Step step : path.steps) {
        real = isByOffset(step) ? find(step, real, type, host) : null;
        type = step.type;
      }
    }
  }

  /**
   * Finds the offset of one field.
   *
   * @param real class that the object is declared with; null for the class that the host's loader
   *     resolves
   * @return class that the field is declared with; null if it cannot be read
   */
  private Class<?> find(Step step, Class<?> real, Type type, Class<?> host) {
    try {
      boolean isStatic = step.kind == Step.Kind.STATIC_FIELD;
      String owner = step.owner.replace('/', '.');
      String declared = isStatic ? owner : type.getClassName();
      Class<?> from = real != null ? real : LoadedClass.resolve(declared, host);
      Field field = declaring(from, owner).getDeclaredField(step.name);
      if (!Type.getType(field.getType()).equals(step.type)
          || Modifier.isStatic(field.getModifiers()) != isStatic) {
        throw new NoSuchFieldException("the loaded class declares " + field);
      }
      offsets.put(
          step,
          isStatic ? Fire.staticOffset(field) : Fire.offset(field.getDeclaringClass(), step.name));
      return field.getType();
    } catch (OutOfMemoryError e) {
      throw e;
    } catch (Throwable e) {
      // The application's class loader may throw anything.
      problems.put(
          step,
          "the field "
              + step.name
              + " of "
              + step.owner
              + " cannot be read: "
              + ApplicationException.describe(e));
      return null;
    }
  }

  /** Returns the class or superclass of that name. */
  private static Class<?> declaring(Class<?> type, String name) throws ClassNotFoundException {
    for (Class<?> at = type; at != null; at = at.getSuperclass()) {
      if (at.getName().equals(name)) {
        return at;
      }
    }
    throw new ClassNotFoundException(name);
  }

  /** Returns the reason why the method cannot be woven; null if all its fields have been found. */
  String problem(TracedMethod method) {
    for (Step step : hidden(method)) {
      if (!offsets.containsKey(step)) {
        return problems.getOrDefault(step, "the field " + step.name + " has not been resolved");
      }
    }
    return null;
  }

  static boolean isByOffset(Step step) {
    return step.kind == Step.Kind.HIDDEN_FIELD || step.kind == Step.Kind.STATIC_FIELD;
  }

  private static List<Step> hidden(TracedMethod method) {
    List<Step> hidden = new ArrayList<>();
    for (TypedPath path : method.captures.paths()) {
      path.steps.stream().filter(FieldOffsets::isByOffset).forEach(hidden::add);
    }
    return hidden;
  }

  /** Returns the offset in bytes of a field that has been found. */
  long of(Step step) {
    return offsets.get(step);
  }
}
