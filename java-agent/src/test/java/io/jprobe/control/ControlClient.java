// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;

/** A client that writes Py4J's lines itself. */
final class ControlClient implements AutoCloseable {
  private static final int DEADLINE_MILLIS = 30_000;

  /** The contents of the endpoint file, read without the agent's code. */
  static final class Endpoint {
    final int port;
    final String token;

    private Endpoint(int port, String token) {
      this.port = port;
      this.token = token;
    }

    static Endpoint read(Path directory) throws IOException {
      byte[] message = Files.readAllBytes(directory.resolve("control"));
      int at = 1;
      int port = 0;
      for (int shift = 0; ; shift += 7) {
        port |= (message[at] & 0x7f) << shift;
        if (message[at++] >= 0) {
          break;
        }
      }
      if (message[0] != 1 << 3 || message[at] != (2 << 3 | 2) || message[at + 1] != 64) {
        throw new IOException("not a ControlEndpoint: " + Arrays.toString(message));
      }
      return new Endpoint(port, new String(message, at + 2, 64, StandardCharsets.US_ASCII));
    }
  }

  private final Socket socket;
  private final InputStream in;

  /** Connects without sending anything. */
  ControlClient(int port) throws IOException {
    socket = new Socket(InetAddress.getByAddress(new byte[] {127, 0, 0, 1}), port);
    socket.setTcpNoDelay(true);
    socket.setSoTimeout(DEADLINE_MILLIS);
    in = socket.getInputStream();
  }

  ControlClient send(String... lines) throws IOException {
    return sendRaw(String.join("\n", lines).concat("\n").getBytes(StandardCharsets.UTF_8));
  }

  ControlClient sendRaw(byte[] bytes) throws IOException {
    socket.getOutputStream().write(bytes);
    return this;
  }

  /** Returns the next line of an answer; null if the gateway has ended the connection. */
  String answer() throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    try {
      for (int one = in.read(); one != '\n'; one = in.read()) {
        if (one < 0) {
          return null;
        }
        line.write(one);
      }
    } catch (SocketException e) {
      // The gateway has ended the connection during the write.
      return null;
    }
    return line.toString(StandardCharsets.UTF_8);
  }

  /** Sends a call of the entry point and returns its result. */
  byte[] call(String method, String... arguments) throws IOException {
    send("c", "t", method);
    for (String argument : arguments) {
      send(argument);
    }
    return bytes(send("e").answer());
  }

  static byte[] bytes(String answer) {
    if (answer == null || !answer.startsWith("!yj")) {
      throw new AssertionError("not an answer with bytes: " + answer);
    }
    return Base64.getDecoder().decode(answer.substring(3));
  }

  /** Resets the connection, as the kernel does for a killed process with unread input. */
  void reset() throws IOException {
    socket.setSoLinger(true, 0);
    socket.close();
  }

  @Override
  public void close() throws IOException {
    socket.close();
  }
}
