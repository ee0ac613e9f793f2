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
 * Reads Py4J's commands, which are lines. Limits the size of a command and the time from its first
 * byte to its last.
 *
 * <p>The end of a command depends on its name: authentication is followed by the token, shutdown by
 * nothing, and all others by at least one line and an end mark.
 */
final class CommandReader {
  static final String AUTHENTICATION = "A";
  private static final String SHUTDOWN = "s";
  private static final String END = "e";

  private static final int MAX_BYTES = 1 << 20;

  /** Maximum input of an unauthenticated client: room for the name, the token and line ends. */
  private static final int MAX_UNAUTHENTICATED_BYTES = 128;

  /** More lines than any served command has. Further lines are read and dropped. */
  private static final int MAX_LINES = 8;

  private static final long NANOS_PER_MILLI = 1_000_000L;

  private final Socket socket;
  private final InputStream in;
  private final int timeoutMillis;
  private final byte[] buffer = new byte[8192];
  private int next;
  private int end;
  private int bytesLeft;
  private long deadline;

  /** Creates a reader for the authentication, whose time starts now. */
  CommandReader(Socket socket, int timeoutMillis) throws IOException {
    this.socket = socket;
    this.in = socket.getInputStream();
    this.timeoutMillis = timeoutMillis;
    limit(MAX_UNAUTHENTICATED_BYTES);
  }

  private void limit(int bytes) {
    bytesLeft = bytes;
    deadline = System.nanoTime() + timeoutMillis * NANOS_PER_MILLI;
  }

  /**
   * Waits for a command without a time limit.
   *
   * @return false if the client has disconnected instead
   */
  boolean await() throws IOException {
    if (next == end) {
      socket.setSoTimeout(0);
      if (!fill()) {
        return false;
      }
    }
    limit(MAX_BYTES);
    return true;
  }

  /** Returns the command's lines without its end mark, and at most MAX_LINES of them. */
  List<String> command() throws IOException {
    String name = line();
    // An end mark is left over if the line before it had the form of one.
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
      if (lines.size() < MAX_LINES) {
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
              "the connection is closed: the command is longer than the gateway accepts");
        }
        byte one = buffer[next++];
        if (one == '\n') {
          return line.toString(StandardCharsets.UTF_8);
        }
        line.write(one);
      }
      // At least 1 ms, even after the deadline: a process that was stopped still reads what has
      // arrived in that time.
      long millis = (deadline - System.nanoTime()) / NANOS_PER_MILLI;
      socket.setSoTimeout((int) Math.max(1, millis));
      if (!fill()) {
        throw new EOFException("the client has disconnected in the middle of a command");
      }
    }
  }

  private boolean fill() throws IOException {
    next = 0;
    end = Math.max(0, in.read(buffer));
    return end > 0;
  }
}
