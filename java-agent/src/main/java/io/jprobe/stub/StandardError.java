// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * The file that the program was started with as its standard error, whatever it has made of
 * System.err and of the descriptor since. Any thread may write lines to it; none waits for whoever
 * reads it (src/main/c/agent/standard_error.c). For when {@link NativeLibrary} is loaded.
 */
public final class StandardError {
  private StandardError() {}

  /** Remembers what the descriptor is now; the first call counts. */
  public static void open() {
    Native.openStandardError();
  }

  /**
   * Writes a line, its end included, of at most 4,096 bytes. What cannot be written now, because
   * nobody reads, waits for it, or is lost and counted where too much waits already.
   */
  public static void write(byte[] line) {
    Native.writeLine(line);
  }

  /** Counts a line that could not be made. */
  public static void countLost() {
    Native.countLostLine();
  }

  /** Writes how many lines were lost, if some were and that can be written now. */
  public static void reportLost() {
    Native.reportLostLines();
  }

  /** The message that a throwable was made with: no method of its class is called. */
  public static String messageOf(Throwable problem) {
    return Native.messageOf(problem);
  }
}
