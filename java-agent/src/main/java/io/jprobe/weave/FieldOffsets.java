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
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.objectweb.asm.Type;

/**
 * Where the fields lie that are private to other classes. Asked for before a class is woven,
 * because it may load classes (it initializes none), which must not happen inside a transformation.
 *
 * <p>A field that is read by its offset is read as what we take it for, and a mistake would be the
 * end of the JVM. So the fields of the loaded classes count, not what class files say: those can be
 * of another version, or changed by another agent. And what comes out of such a field is followed
 * by its real class, because the host's loader may know another one by that name. Everything else
 * is linked by the JVM in the host's name space, and holds what it declares.
 */
final class FieldOffsets {
  private final Map<Step, Long> offsets = Collections.synchronizedMap(new IdentityHashMap<>());
  private final Map<Step, String> problems = Collections.synchronizedMap(new IdentityHashMap<>());

  /** Looks for the offsets that one method of a linked class needs. */
  void find(Class<?> host, TracedMethod method) {
    for (TypedPath path : method.captures.paths()) {
      Type type = path.rootType;
      Class<?> real = null;
      for (Step step : path.steps) {
        real = step.kind == Step.Kind.HIDDEN_FIELD ? find(step, real, type, host) : null;
        type = step.type;
      }
    }
  }

  /**
   * Finds the offset of one field.
   *
   * @param real the class that the object is declared with; null for what the host's loader knows
   *     by the name of the type
   * @return the class that the field is declared with; null if it cannot be read
   */
  private Class<?> find(Step step, Class<?> real, Type type, Class<?> host) {
    try {
      Class<?> from = real != null ? real : LoadedClass.resolve(type.getClassName(), host);
      Field field = declaring(from, step.owner.replace('/', '.')).getDeclaredField(step.name);
      if (!Type.getType(field.getType()).equals(step.type)
          || Modifier.isStatic(field.getModifiers())) {
        throw new NoSuchFieldException("in the loaded class it is " + field);
      }
      offsets.put(step, Fire.offset(field.getDeclaringClass(), step.name));
      return field.getType();
    } catch (OutOfMemoryError e) {
      throw e;
    } catch (Throwable e) {
      // A loader that is asked for a class is the application's, and throws what it likes.
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

  /** The class or its superclass of that name. */
  private static Class<?> declaring(Class<?> type, String name) throws ClassNotFoundException {
    for (Class<?> at = type; at != null; at = at.getSuperclass()) {
      if (at.getName().equals(name)) {
        return at;
      }
    }
    throw new ClassNotFoundException(name);
  }

  /** Why the method cannot be woven; null if all its fields have been found. */
  String problem(TracedMethod method) {
    for (Step step : hidden(method)) {
      if (!offsets.containsKey(step)) {
        return problems.getOrDefault(step, "the field " + step.name + " has not been looked for");
      }
    }
    return null;
  }

  private static List<Step> hidden(TracedMethod method) {
    List<Step> hidden = new ArrayList<>();
    for (TypedPath path : method.captures.paths()) {
      path.steps.stream().filter(step -> step.kind == Step.Kind.HIDDEN_FIELD).forEach(hidden::add);
    }
    return hidden;
  }

  /** In bytes, for a field that has been found. */
  long of(Step step) {
    return offsets.get(step);
  }
}
