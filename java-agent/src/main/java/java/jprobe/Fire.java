// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

/**
 * What woven methods call. The agent defines this class in the boot loader, in a package whose name
 * starts with "java.", because that is the one prefix that every class loader hands to its parent:
 * also those of OSGi and JBoss containers, which hide everything else.
 *
 * <p>It has native methods and nothing else: nothing here can be traced, throw, or load a class.
 * The implementation is src/main/c/fire.c.
 */
public final class Fire {
  private Fire() {}

  /**
   * Copies a string for the next {@code entry} of this thread.
   *
   * @param slot the argument's place among the captured ones, from 0 to 11
   * @return the address of NUL-terminated UTF-8, or 0 for null
   */
  public static native long text(String string, int slot);

  /** Fires a return probe, or a throw probe with a text's address; duration in nanoseconds. */
  public static native void exit(long value, long stub, long duration, long thread);

  /** Fires a return or a throw probe whose value is a string. */
  public static native void exit(String value, long stub, long duration, long thread);

  /** The thread's id; for Java versions whose {@code Thread.getId()} can be overridden. */
  public static native long threadId(Thread thread);

  // Fires an entry probe: the captured arguments, then the Java thread id.

  public static native void entry(long stub, long a1);

  public static native void entry(long stub, long a1, long a2);

  public static native void entry(long stub, long a1, long a2, long a3);

  public static native void entry(long stub, long a1, long a2, long a3, long a4);

  public static native void entry(long stub, long a1, long a2, long a3, long a4, long a5);

  public static native void entry(long stub, long a1, long a2, long a3, long a4, long a5, long a6);

  public static native void entry(
      long stub, long a1, long a2, long a3, long a4, long a5, long a6, long a7);

  public static native void entry(
      long stub, long a1, long a2, long a3, long a4, long a5, long a6, long a7, long a8);

  public static native void entry(
      long stub, long a1, long a2, long a3, long a4, long a5, long a6, long a7, long a8, long a9);

  public static native void entry(
      long stub, long a1, long a2, long a3, long a4, long a5, long a6, long a7, long a8, long a9,
      long a10);

  public static native void entry(
      long stub, long a1, long a2, long a3, long a4, long a5, long a6, long a7, long a8, long a9,
      long a10, long a11);

  public static native void entry(
      long stub, long a1, long a2, long a3, long a4, long a5, long a6, long a7, long a8, long a9,
      long a10, long a11, long a12);
}
