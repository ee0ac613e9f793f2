// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.charset.StandardCharsets;

/** Puts the class that woven methods call into the boot loader and binds its native methods. */
public final class FireBinding {
  public static final String FIRE = "java/jprobe/Fire";

  private FireBinding() {}

  /**
   * Once in a JVM's life. The class is not initialized yet: before it is used, it has to be bound,
   * and its module needs java.base to export jdk.internal.misc to it.
   *
   * @param fireClass the class file of java.jprobe.Fire
   */
  public static Class<?> install(byte[] fireClass) {
    return Native.defineInBootLoader(FIRE.getBytes(StandardCharsets.UTF_8), fireClass);
  }

  /**
   * Binds the native methods, again if need be.
   *
   * @param captureLimit where strings are cut, in bytes of UTF-8, at most 1024
   */
  public static void bind(Class<?> fire, int captureLimit) {
    Native.bindFire(fire, captureLimit);
  }
}
