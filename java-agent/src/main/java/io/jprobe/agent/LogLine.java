// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * A line of the agent's log: UTF-8, of bounded length, and without whatever could act on a
 * terminal, for the names and messages in it are the program's. The class is in the jar twice: for
 * {@link Premain}, which the class path sees, and for the rest of the agent.
 */
final class LogLine implements Runnable {
  /** A pipe takes as much as a whole (PIPE_BUF). */
  private static final int MAX_BYTES = 4096;

  private static final String CUT = "…\n";
  private static final int CUT_BYTES = 4;

  /** How long the start of the program may wait for a line to be written. */
  private static final long PATIENCE_MILLIS = 1_000;

  private static final int DELETE = 0x7f;
  private static final int LAST_CONTROL = 0x9f;

  private final byte[] bytes;

  private LogLine(byte[] bytes) {
    this.bytes = bytes;
  }

  static LogLine of(String message) {
    StringBuilder text = new StringBuilder("jprobe: ");
    int length = Math.min(message.length(), MAX_BYTES);
    for (int i = 0; i < length; i++) {
      char next = i + 1 < message.length() ? message.charAt(i + 1) : 0;
      if (Character.isSurrogatePair(message.charAt(i), next)) {
        text.append(message.charAt(i++)).append(next);
      } else {
        append(text, message.charAt(i));
      }
    }
    byte[] bytes = text.append('\n').toString().getBytes(StandardCharsets.UTF_8);
    if (bytes.length <= MAX_BYTES) {
      return new LogLine(bytes);
    }
    // Where a character begins.
    int end = MAX_BYTES - CUT_BYTES;
    while ((bytes[end] & 0xc0) == 0x80) {
      end--;
    }
    byte[] mark = CUT.getBytes(StandardCharsets.UTF_8);
    byte[] cut = new byte[end + mark.length];
    System.arraycopy(bytes, 0, cut, 0, end);
    System.arraycopy(mark, 0, cut, end, mark.length);
    return new LogLine(cut);
  }

  private static void append(StringBuilder text, char character) {
    if (character == '\n' || character == '\r' || character == '\t') {
      text.append(' ');
    } else if (actsOnTerminals(character)) {
      text.append("\\u").append(Integer.toHexString(0x10000 | character).substring(1));
    } else {
      text.append(character);
    }
  }

  /**
   * Returns true for control characters, other line ends, marks that reorder the text around them,
   * and surrogates, which are not text by themselves.
   */
  private static boolean actsOnTerminals(char character) {
    return character < ' '
        || Character.isSurrogate(character)
        || character >= DELETE && character <= LAST_CONTROL
        || character == '\u061c'
        || character == '\u200e'
        || character == '\u200f'
        || character >= '\u2028' && character <= '\u202e'
        || character >= '\u2066' && character <= '\u2069';
  }

  /** Of the caller, who does not change it. */
  byte[] bytes() {
    return bytes;
  }

  /**
   * Writes the line where the native library is not loaded, or cannot be: by a thread, which may
   * have to wait for whoever reads.
   */
  void write() {
    Thread writer = new Thread(null, this, "jprobe-log", 0, false);
    writer.setDaemon(true);
    try {
      writer.start();
      writer.join(PATIENCE_MILLIS);
    } catch (OutOfMemoryError e) {
      // There are no threads. That no line can be written either is less likely.
      run();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void run() {
    try {
      // Not to be closed.
      new FileOutputStream(FileDescriptor.err).write(bytes);
    } catch (SecurityException e) {
      // A security manager lets every class write there by System.err only.
      System.err.write(bytes, 0, bytes.length);
      System.err.flush();
    } catch (IOException e) {
      // There is no standard error.
    }
  }
}
