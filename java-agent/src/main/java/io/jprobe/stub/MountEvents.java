// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/** Calls stubs when virtual threads are mounted and unmounted. */
public final class MountEvents {
  /** The first Java version that has virtual threads without --enable-preview. */
  private static final int FIRST_VERSION = 21;

  private MountEvents() {}

  /** Returns true if this JVM has virtual threads. */
  public static boolean exist() {
    return Runtime.version().feature() >= FIRST_VERSION;
  }

  /**
   * Turns the calls on or off. For one thread at a time.
   *
   * @param mount address of the stub to call in the carrier after a virtual thread was mounted
   * @param unmount address of the stub to call before it is unmounted
   * @return false if the JVM does not report mounts
   */
  public static boolean report(long mount, long unmount, boolean isOn) {
    return Native.reportMounts(mount, unmount, isOn);
  }
}
