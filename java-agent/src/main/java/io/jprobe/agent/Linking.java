// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.stapsdt.LoadedClass;

/**
 * Which classes the JVM may be asked to retransform, or to show.
 *
 * <p>JDK-8277444: HotSpot writes the class file of a class anew while another thread links it, that
 * is, rewrites its bytecode. What comes out is malformed: a VerifyError, or, of classes that are
 * not verified, a crash of the JVM. Fixed in 26 and 25.0.2, where the JVM links the class first;
 * later releases of 17 and 21 may have it from their vendors, which cannot be told. Where the bug
 * may be, only classes that are linked already are retransformed.
 */
final class Linking {
  private static final Runtime.Version FIX = Runtime.Version.parse("25.0.2");

  private final boolean mayLink;

  Linking(Runtime.Version version) {
    this.mayLink = version.compareToIgnoreOptional(FIX) >= 0;
  }

  /** Whether retransforming links what is not linked yet: by code of the class's loader. */
  boolean mayLink() {
    return mayLink;
  }

  boolean isReady(Class<?> type) {
    return mayLink || isLinked(type);
  }

  static boolean isLinked(Class<?> type) {
    return LoadedClass.isLinked(type);
  }
}
