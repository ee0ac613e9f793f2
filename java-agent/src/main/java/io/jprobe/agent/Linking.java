// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.stub.LoadedClass;

/**
 * Which classes may be retransformed or shown, and which the agent may link itself.
 *
 * <p>JDK-8277444: HotSpot writes the class file of a class anew while another thread links it, that
 * is, rewrites its bytecode. What comes out is malformed: a VerifyError, or, of classes that are
 * not verified, a crash of the JVM. Fixed in 26 and 25.0.2, where a retransformation links the
 * class first; some vendors have it in 17 and 21, which cannot be told. So only what is linked is
 * retransformed.
 *
 * <p>Linking a class takes its lock, and then calls its loader. A program that holds a lock of the
 * loader while it uses the class takes the two in the other order. Therefore the agent links only
 * classes of the JDK's own loaders, which lock nothing but the name of the class that they load;
 * all others wait until the program links them.
 */
final class Linking {
  private static final String JDKS_LOADERS = "jdk.internal.loader.";

  private Linking() {}

  static boolean isLinked(Class<?> type) {
    return LoadedClass.isLinked(type);
  }

  /** Whether the class is linked, or may be linked by {@link #problem}. */
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
   * @return why it cannot be linked; null if it is
   */
  static String problem(Class<?> type) {
    if (isLinked(type)) {
      return null;
    }
    try {
      LoadedClass.link(type);
    } catch (OutOfMemoryError e) {
      throw e;
    } catch (Throwable e) {
      // A class that it names may be missing.
      return "it cannot be linked: " + Log.describe(e);
    }
    return isLinked(type) ? null : "the JVM does not link it";
  }
}
