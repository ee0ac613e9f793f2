// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.stapsdt.LoadedClass;

/**
 * Classes are linked before the JVM is asked to retransform or to show them.
 *
 * <p>JDK-8277444: HotSpot writes the class file of a class anew while another thread links it, that
 * is, rewrites its bytecode. What comes out is malformed: a VerifyError, or, of classes that are
 * not verified, a crash of the JVM. Fixed in 26 and 25.0.2, where a retransformation links the
 * class first; some vendors have it in 17 and 21, which cannot be told. And wherever the JVM links
 * classes as a part of retransforming them, one loader that does not return holds up all of a
 * batch.
 */
final class Linking {
  private Linking() {}

  static boolean isLinked(Class<?> type) {
    return LoadedClass.isLinked(type);
  }

  /**
   * Links the class, by code of its loader.
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
      // The loader is the application's, and throws what it likes.
      return "it cannot be linked: " + Log.describe(e);
    }
    return isLinked(type) ? null : "the JVM does not link it";
  }
}
