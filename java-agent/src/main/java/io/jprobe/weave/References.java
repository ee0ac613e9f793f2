// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.calls.ApplicationException;
import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.TypedPath;
import io.jprobe.capture.TypedPath.Root;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.capture.ValueType;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.stub.LoadedClass;
import java.jprobe.Fire;
import java.util.LinkedHashSet;
import java.util.Set;
import org.objectweb.asm.Type;

/**
 * Classes that woven code names. All are resolved before the method is woven, as its code will
 * resolve them. Otherwise the first call would ask the class's loader, which may not find them or
 * may wait for a lock that the method's caller holds.
 */
final class References {
  private References() {}

  /** Returns their internal names, including those of arrays. */
  static Set<String> of(TracedMethod method) {
    Set<String> names = new LinkedHashSet<>();
    names.add(Injection.FIRE);
    if (method.captures.isPlain) {
      for (CapturedValue value : method.captures.values(ProbeKind.ENTRY)) {
        if (value.type == ValueType.FLOAT || value.type == ValueType.DOUBLE) {
          addConversion(names, value.type);
        }
      }
    } else {
      // The type of the start of the call.
      names.add("java/lang/System");
      method.captures.paths().forEach(path -> add(names, path));
    }
    return names;
  }

  private static void add(Set<String> names, TypedPath path) {
    if (path.root == Root.THREAD) {
      names.add("java/lang/Thread");
    }
    for (Step step : path.steps) {
      switch (step.kind) {
        case FIELD:
        case METHOD:
        case STATIC_FIELD:
        case CAST:
          names.add(step.owner);
          break;
        default:
          break;
      }
      if (FieldOffsets.isByOffset(step) && step.type.getSort() == Type.ARRAY) {
        names.add(step.type.getInternalName());
      }
    }
    addConversion(names, path.valueType);
  }

  private static void addConversion(Set<String> names, ValueType type) {
    switch (type) {
      case FLOAT:
        names.add("java/lang/Float");
        break;
      case DOUBLE:
        names.add("java/lang/Double");
        break;
      case STRING:
        names.add("java/lang/String");
        break;
      default:
        break;
    }
  }

  /**
   * Resolves a class as code of another class does.
   *
   * @return the reason why the class cannot be resolved; null if it can
   */
  static String problem(String internalName, Class<?> host) {
    String name = internalName.replace('/', '.');
    try {
      Class<?> found = LoadedClass.resolve(name, host);
      if (internalName.equals(Injection.FIRE) && found != Fire.class) {
        return "its class loader returns another class for " + name;
      }
      return null;
    } catch (OutOfMemoryError e) {
      throw e;
    } catch (Throwable e) {
      // The application's class loader may throw anything.
      return "its class loader cannot load " + name + ": " + ApplicationException.describe(e);
    }
  }
}
