// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * A line of the agent's log: UTF-8, of bounded length, and with control characters escaped, because
 * it contains names and messages of the program. The class is in the jar twice: for {@link
 * Premain}, which is visible on the class path, and for the rest of the agent.
 */
final class LogLine implements Runnable {
  /** Maximum length of an atomic write to a pipe (PIPE_BUF). */
  private static final int MAX_BYTES = 4096;

  private static final String ELLIPSIS = "…\n";
  private static final int ELLIPSIS_BYTES = 4;

  /** Maximum delay of the program's start by a line that cannot be written. */
  private static final long TIMEOUT_MILLIS = 1_000;

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
    // Moves back to the start of a character.
    int end = MAX_BYTES - ELLIPSIS_BYTES;
    while ((bytes[end] & 0xc0) == 0x80) {
      end--;
    }
    byte[] ellipsis = ELLIPSIS.getBytes(StandardCharsets.UTF_8);
    byte[] truncated = new byte[end + ellipsis.length];
    System.arraycopy(bytes, 0, truncated, 0, end);
    System.arraycopy(ellipsis, 0, truncated, end, ellipsis.length);
    return new LogLine(truncated);
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
   * and unpaired surrogates, which are not text.
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

  /** Returns the bytes; the caller must not change them. */
  byte[] bytes() {
    return bytes;
  }

  /**
   * Writes the line if the native library is not loaded. Uses a separate thread, because the reader
   * of standard error may block it.
   */
  void write() {
    Thread writer = new Thread(null, this, "jprobe-log", 0, false);
    writer.setDaemon(true);
    try {
      writer.start();
      writer.join(TIMEOUT_MILLIS);
    } catch (OutOfMemoryError e) {
      // No thread can be started. It is unlikely that the write blocks as well.
      run();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void run() {
    try {
      // Never closed: the descriptor is the program's.
      new FileOutputStream(FileDescriptor.err).write(bytes);
    } catch (SecurityException e) {
      // A security manager may allow writing to System.err only.
      System.err.write(bytes, 0, bytes.length);
      System.err.flush();
    } catch (IOException e) {
      // Standard error is closed or unusable.
    }
  }
}
