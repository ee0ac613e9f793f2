// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/** What the JVM knows of a loaded class and Java has no method for. */
public final class LoadedClass {
  private LoadedClass() {}

  /** Whether the JVM has linked the class: verified, prepared and rewritten it. Runs no code. */
  public static boolean isLinked(Class<?> type) {
    return Native.isLinked(type);
  }

  /**
   * Has the JVM link the class, without initializing it. What the class needs for that is loaded by
   * its loader, which is the application's code.
   *
   * @throws LinkageError if it cannot be linked
   */
  public static void link(Class<?> type) {
    try {
      Native.link(type);
    } catch (Throwable e) {
      // A field's type need not be there.
      if (!isLinked(type)) {
        throw e;
      }
    }
  }

  /**
   * Returns the class that a name in the code of another class stands for, without initializing it.
   * The first time this asks the class's loader, which is the application's code; the JVM keeps the
   * answer, so that neither this nor the class's own code asks again.
   *
   * @param name a binary name, or an array's as Class.getName has it
   */
  public static Class<?> resolve(String name, Class<?> from) throws ClassNotFoundException {
    return Native.resolve(name, from.getClassLoader(), from);
  }
}
