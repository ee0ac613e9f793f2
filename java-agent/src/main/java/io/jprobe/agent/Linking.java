// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.stub.LoadedClass;

/**
 * Determines which classes may be retransformed or read, and links those that the agent may link.
 *
 * <p>JDK-8277444: HotSpot reconstructs the class file of a class while another thread links the
 * class, which rewrites its bytecode. The resulting class file is malformed: it causes a
 * VerifyError or, if the class is not verified, a JVM crash. Fixed in 26 and 25.0.2, where a
 * retransformation links the class first. Some vendors have the fix in 17 and 21, which cannot be
 * detected. So the agent retransforms linked classes only.
 *
 * <p>Linking a class acquires its lock, and then calls its loader. A program that holds a lock of
 * the loader while it uses the class acquires the two in the opposite order. Therefore the agent
 * links only classes of the JDK's own loaders, which lock nothing but the name of the class that
 * they load. All other classes wait until the program links them.
 */
final class Linking {
  private static final String JDKS_LOADERS = "jdk.internal.loader.";

  private Linking() {}

  static boolean isLinked(Class<?> type) {
    return LoadedClass.isLinked(type);
  }

  /** Returns true if the class is linked, or {@link #link} may link it. */
  static boolean isReady(Class<?> type) {
    return isLinked(type) || isOfJdksLoader(type.getClassLoader());
  }

  private static boolean isOfJdksLoader(ClassLoader loader) {
    return loader == null
        || loader.getClass().getClassLoader() == null
            && loader.getClass().getName().startsWith(JDKS_LOADERS);
  }

  /**
   * Links the class, if it is not linked.
   *
   * @return why it cannot be linked; null if it is linked
   */
  static String link(Class<?> type) {
    if (isLinked(type)) {
      return null;
    }
    try {
      LoadedClass.link(type);
    } catch (OutOfMemoryError e) {
      throw e;
    } catch (Throwable e) {
      // A class that it refers to may be missing, for instance.
      return "it cannot be linked: " + Log.describe(e);
    }
    return isLinked(type) ? null : "the JVM does not link it";
  }
}
