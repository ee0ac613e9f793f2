// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * The attribute MethodParameters of loaded classes, out of HotSpot's memory:
 * src/main/c/jni/hotspot.h says why, and what that rests on.
 */
public final class LoadedParameters {
  private LoadedParameters() {}

  /** Finds out where the JVM has what. Once; false if that cannot be known. */
  public static boolean open() {
    return Native.openHotSpot();
  }

  /**
   * Each method that has the attribute, packed as hotspot.h says; null if what is there makes no
   * sense. Nobody may redefine the class meanwhile: the JVM sees to that in a transformer that is
   * asked about it.
   */
  public static byte[] of(Class<?> type) {
    return Native.methodParameters(type);
  }
}
