// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.ProtocolException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Reads Py4J's commands, which are lines. What one command may bring, and how long it may take from
 * its first byte to its last, is limited.
 *
 * <p>How a command ends depends on its name: authentication is followed by the token, shutdown by
 * nothing, and all others by one line or more and an end mark.
 */
final class CommandReader {
  static final String AUTHENTICATION = "A";
  private static final String SHUTDOWN = "s";
  private static final String END = "e";

  private static final int MOST_BYTES = 1 << 20;

  /** The name, the token, and their ends; no stranger may make us keep more. */
  private static final int MOST_BYTES_OF_STRANGERS = 128;

  /** More than any command has that is served. The rest is read, and forgotten. */
  private static final int MOST_LINES = 8;

  private static final long NANOS_PER_MILLI = 1_000_000L;

  private final Socket socket;
  private final InputStream in;
  private final int patienceMillis;
  private final byte[] buffer = new byte[8192];
  private int next;
  private int end;
  private int bytesLeft;
  private long deadline;

  /** For the authentication, whose time begins now. */
  CommandReader(Socket socket, int patienceMillis) throws IOException {
    this.socket = socket;
    this.in = socket.getInputStream();
    this.patienceMillis = patienceMillis;
    limit(MOST_BYTES_OF_STRANGERS);
  }

  private void limit(int bytes) {
    bytesLeft = bytes;
    deadline = System.nanoTime() + patienceMillis * NANOS_PER_MILLI;
  }

  /**
   * Waits for a command, however long it takes.
   *
   * @return false when the client has gone instead
   */
  boolean await() throws IOException {
    if (next == end) {
      socket.setSoTimeout(0);
      if (!fill()) {
        return false;
      }
    }
    limit(MOST_BYTES);
    return true;
  }

  /** The command's lines without its end mark; of very many only the first. */
  List<String> command() throws IOException {
    String name = line();
    // Left over where the line before the end mark looked like one.
    while (name.equals(END)) {
      name = line();
    }
    if (name.equals(SHUTDOWN)) {
      return List.of(name);
    }
    List<String> lines = new ArrayList<>(List.of(name, line()));
    if (name.equals(AUTHENTICATION)) {
      return lines;
    }
    for (String line = line(); !line.equals(END); line = line()) {
      if (lines.size() < MOST_LINES) {
        lines.add(line);
      }
    }
    return lines;
  }

  String line() throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    while (true) {
      while (next < end) {
        if (bytesLeft-- == 0) {
          throw new ProtocolException(
              "the connection is closed: the command is longer than the gateway takes");
        }
        byte one = buffer[next++];
        if (one == '\n') {
          return line.toString(StandardCharsets.UTF_8);
        }
        line.write(one);
      }
      // At least one, even if it is too late: a process that had been stopped reads what has come
      // meanwhile.
      long millis = (deadline - System.nanoTime()) / NANOS_PER_MILLI;
      socket.setSoTimeout((int) Math.max(1, millis));
      if (!fill()) {
        throw new EOFException("the client has gone within a command");
      }
    }
  }

  private boolean fill() throws IOException {
    next = 0;
    end = Math.max(0, in.read(buffer));
    return end > 0;
  }
}
