// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * Writes to the file that was the program's standard error at startup, even if the program has
 * replaced System.err or the descriptor since. Any thread may write lines; none waits for the
 * reader of the file (src/main/c/agent/standard_error.c). Requires {@link NativeLibrary}.
 */
public final class StandardError {
  private StandardError() {}

  /** Records the current identity of the descriptor. Later calls do nothing. */
  public static void open() {
    Native.openStandardError();
  }

  /**
   * Writes a line of at most 4,096 bytes, including its end. Queues up to 64 lines that cannot be
   * written now. Drops and counts further lines.
   */
  public static void write(byte[] line) {
    Native.writeLine(line);
  }

  /** Counts a line as lost that could not be created. */
  public static void countLost() {
    Native.countLostLine();
  }

  /** Writes the number of lost lines if there are any and it can be written now. */
  public static void reportLost() {
    Native.reportLostLines();
  }

  /**
   * Returns the message with which a throwable was created, without calling methods of its class.
   */
  public static String messageOf(Throwable problem) {
    return Native.messageOf(problem);
  }
}
