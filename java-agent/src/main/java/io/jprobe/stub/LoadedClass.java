// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.lang.instrument.UnmodifiableClassException;

/** Operations on loaded classes that Java does not offer. */
public final class LoadedClass {
  private LoadedClass() {}

  /**
   * Returns true if the JVM has linked the class: verified, prepared and rewritten it. Runs no
   * application code.
   */
  public static boolean isLinked(Class<?> type) {
    return Native.isLinked(type);
  }

  /**
   * Links the class without initializing it. The classes that it needs are loaded by its loader,
   * which is application code.
   *
   * @throws LinkageError if it cannot be linked
   */
  public static void link(Class<?> type) {
    try {
      Native.link(type);
    } catch (Throwable e) {
      // The type of a field may be missing.
      if (!isLinked(type)) {
        throw e;
      }
    }
  }

  /**
   * Resolves a name in the code of another class, without initializing the class found. The first
   * call asks the class's loader, which is application code. The JVM caches the result for this
   * method and for the class's own code.
   *
   * @param name a binary name, or the name of an array in the format of Class.getName
   */
  public static Class<?> resolve(String name, Class<?> from) throws ClassNotFoundException {
    return Native.resolve(name, from.getClassLoader(), from);
  }

  /**
   * Retransforms classes, with the exceptions of Instrumentation.retransformClasses. That method
   * creates them in native code, where HotSpot crashes if the heap is full (seen with 17.0.15 and
   * 25.0.3).
   */
  public static void retransform(Class<?>... classes) throws UnmodifiableClassException {
    int error = Native.retransform(classes);
    if (error != JvmtiError.NONE) {
      throw JvmtiError.thrown(error);
    }
  }
}
