// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.capture.TypedPath;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.jprobe.Fire;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Where the fields lie that are private to other classes. Asked for before a class is woven, because
 * it may load the declaring class (it does not initialize it), which must not happen inside a
 * transformation.
 */
final class FieldOffsets {
  private final Map<Step, Long> offsets = Collections.synchronizedMap(new IdentityHashMap<>());
  private final Map<Step, String> problems = Collections.synchronizedMap(new IdentityHashMap<>());

  /** Looks for the offsets that one method of a linked class needs. */
  void find(TracedClass traced, TracedMethod method) {
    Class<?> host = traced.loaded();
    for (Step step : hidden(method)) {
      if (host != null && !offsets.containsKey(step)) {
        find(step, host.getClassLoader());
      }
    }
  }

  private void find(Step step, ClassLoader loader) {
    try {
      Class<?> owner = Class.forName(step.owner.replace('/', '.'), false, loader);
      offsets.put(step, Fire.offset(owner, step.name));
    } catch (ClassNotFoundException | LinkageError | InternalError e) {
      problems.put(step, "the field " + step.name + " of " + step.owner + " is not there: " + e);
    }
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
      path.steps.stream()
          .filter(step -> step.kind == Step.Kind.HIDDEN_FIELD)
          .forEach(hidden::add);
    }
    return hidden;
  }

  /** In bytes, for a field that has been found. */
  long of(Step step) {
    return offsets.get(step);
  }
}
