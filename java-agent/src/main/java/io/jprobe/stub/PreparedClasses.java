// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * Reports every class that the JVM prepares: it is loaded and linked, and none of its code has run.
 */
public final class PreparedClasses {
  /** Called in the thread that needs the class, which holds the lock of its initialization. */
  public interface Listener {
    void prepared(Class<?> type);
  }

  private static volatile Listener listener;

  private PreparedClasses() {}

  /** Starts to report classes. Returns false if the JVM does not. */
  public static synchronized boolean reportTo(Listener next) {
    listener = next;
    return Native.reportPrepared(PreparedClasses.class, true);
  }

  /** Ends the reports. */
  public static synchronized void stop() {
    if (listener != null) {
      listener = null;
      Native.reportPrepared(PreparedClasses.class, false);
    }
  }

  /** Called by native code (src/main/c/jni/prepared_jni.c). */
  private static void prepared(Class<?> type) {
    Listener current = listener;
    if (current != null) {
      current.prepared(type);
    }
  }
}
