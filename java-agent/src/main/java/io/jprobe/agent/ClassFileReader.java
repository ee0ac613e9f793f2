// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.ParameterNames;
import io.jprobe.classfile.MethodParameters;
import io.jprobe.stub.LoadedClass;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Reads the class files of loaded classes from the JVM without changing any class. The JVM passes
 * class files to transformers only for a retransformation, which would discard the compiled code.
 * But it passes all of them before it changes the first class. So the last class is one of the
 * agent, for which the transformer returns an invalid class file. The JVM gives up at that point
 * (measured on JDK 17 and 25).
 */
final class ClassFileReader {
  /** The last class of a retransformation; linked, because of JDK-8277444. */
  private static final class Last {
    static {
      linked = true;
    }
  }

  private static boolean linked;

  static final byte[] INVALID_CLASS_FILE = new byte[8];

  private final Thread thread = Thread.currentThread();
  private final Map<Class<?>, byte[]> classFiles = new IdentityHashMap<>();
  private final UnreadableClasses unreadable;
  private Class<?> latest;
  private boolean hasReachedLast;

  /**
   * @param unreadable receives the classes that cannot be read
   */
  ClassFileReader(UnreadableClasses unreadable) {
    this.unreadable = unreadable;
    if (!linked) {
      new Last();
    }
  }

  /** Returns true if the classes that this thread passes to the transformer are only read. */
  boolean isReading() {
    return Thread.currentThread() == thread;
  }

  /** Takes a class file, and returns the transformer's answer. */
  byte[] accept(Class<?> type, byte[] classFile) {
    if (type == Last.class) {
      hasReachedLast = true;
      return INVALID_CLASS_FILE;
    }
    classFiles.put(type, ParameterNames.complete(type, classFile, MethodParameters.NONE));
    latest = type;
    return null;
  }

  /** Returns the class files that can be read, and reports the classes for which they cannot. */
  Map<Class<?>, byte[]> read(List<Class<?>> classes) {
    readAll(classes);
    return Collections.unmodifiableMap(classFiles);
  }

  private void readAll(List<Class<?>> classes) {
    if (classes.isEmpty()) {
      return;
    }
    List<Class<?>> all = new ArrayList<>(classes);
    all.add(Last.class);
    hasReachedLast = false;
    latest = null;
    Throwable problem = null;
    try {
      LoadedClass.retransform(all.toArray(new Class<?>[0]));
    } catch (Throwable e) {
      // Always thrown. It is expected once the JVM has reached the last class.
      problem = e;
    }
    if (hasReachedLast) {
      return;
    }
    if (classes.size() == 1) {
      classFiles.remove(classes.get(0));
      unreadable.add(classes.get(0), "its class file cannot be read: " + Log.describe(problem));
      return;
    }
    // The JVM stops at one class that cannot be linked: the next one, or the one that it has passed
    // last.
    Class<?> suspect = latest;
    classes.stream()
        .filter(type -> type == suspect || !classFiles.containsKey(type))
        .collect(Collectors.toList())
        .forEach(one -> readAll(List.of(one)));
  }
}
