// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.ParameterNames;
import io.jprobe.classfile.MethodParameters;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Has the JVM show the class files of loaded classes, and change none of them. It shows classes
 * only to retransform them, which would throw away what was compiled of each; but it shows all of
 * them before it changes the first. The last one here is a class of ours, for which it gets back
 * what is no class file, so that it gives up at that point (measured on JDK 17 and 25).
 */
final class Showing {
  /** What a retransformation ends with. Linked, which a JVM with JDK-8277444 needs. */
  private static final class Last {
    static {
      linked = true;
    }
  }

  private static boolean linked;

  static final byte[] NO_CLASS_FILE = new byte[8];

  private final Instrumentation instrumentation;
  private final Thread thread = Thread.currentThread();
  private final Map<Class<?>, byte[]> shown = new IdentityHashMap<>();
  private Class<?> latest;
  private boolean cameToLast;

  Showing(Instrumentation instrumentation) {
    this.instrumentation = instrumentation;
    if (!linked) {
      new Last();
    }
  }

  /** Whether what this thread's transformer is asked about now is shown, and not retransformed. */
  boolean isUnderWay() {
    return Thread.currentThread() == thread;
  }

  /** The transformer's answer. */
  byte[] take(Class<?> type, byte[] classFile) {
    if (type == Last.class) {
      cameToLast = true;
      return NO_CLASS_FILE;
    }
    shown.put(type, ParameterNames.complete(type, classFile, MethodParameters.NONE));
    latest = type;
    return null;
  }

  /** The class files of those classes that the JVM shows; a line in the log for each other. */
  Map<Class<?>, byte[]> of(List<Class<?>> classes) {
    show(classes);
    return Collections.unmodifiableMap(shown);
  }

  private void show(List<Class<?>> classes) {
    if (classes.isEmpty()) {
      return;
    }
    List<Class<?>> all = new ArrayList<>(classes);
    all.add(Last.class);
    cameToLast = false;
    latest = null;
    Throwable problem = null;
    try {
      instrumentation.retransformClasses(all.toArray(new Class<?>[0]));
    } catch (Throwable e) {
      // Always; what matters is whether it came before the last.
      problem = e;
    }
    if (cameToLast) {
      return;
    }
    if (classes.size() == 1) {
      shown.remove(classes.get(0));
      Log.line(
          "class "
              + classes.get(0).getName()
              + " has no probes, the JVM does not show it: "
              + Log.describe(problem));
      return;
    }
    // One class that cannot be linked is enough for the JVM to show no more: the one that it was to
    // show next, or has just shown.
    Class<?> suspect = latest;
    classes.stream()
        .filter(type -> type == suspect || !shown.containsKey(type))
        .collect(Collectors.toList())
        .forEach(one -> show(List.of(one)));
  }
}
