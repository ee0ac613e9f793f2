// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * Reads the attribute MethodParameters of loaded classes from HotSpot's memory. See
 * src/main/c/jni/hotspot.h for the reasons and assumptions.
 */
public final class LoadedParameters {
  private LoadedParameters() {}

  /** Determines the layout of the JVM's data. Call once. Returns false if the layout is unknown. */
  public static boolean open() {
    return Native.openHotSpot();
  }

  /**
   * Returns the methods that have the attribute, packed as hotspot.h describes; null if the data is
   * malformed. The class must not be redefined during the call, which the JVM ensures in a
   * transformer for the class.
   */
  public static byte[] of(Class<?> type) {
    return Native.methodParameters(type);
  }
}
