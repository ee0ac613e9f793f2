// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.io.IOException;
import java.net.ProtocolException;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import py4j.Protocol;
import py4j.ReturnObject;

/**
 * Serves one client on its own thread: authenticates it, then answers its commands one by one.
 * Closing lets a running command finish and be answered.
 */
final class Connection implements Runnable {
  private enum State {
    WAITING,
    EXECUTING,
    ANSWERING
  }

  private static final long NANOS_PER_MILLI = 1_000_000L;

  private final Gateway gateway;
  private final Socket socket;
  private final CommandReader reader;
  private volatile boolean authenticated;
  private State state = State.WAITING;
  private boolean closing;

  Connection(Gateway gateway, Socket socket) throws IOException {
    this.gateway = gateway;
    this.socket = socket;
    // An answer is one write; its last segment must not wait for acknowledgements.
    socket.setTcpNoDelay(true);
    this.reader = new CommandReader(socket, gateway.timeoutMillis);
  }

  boolean isAuthenticated() {
    return authenticated;
  }

  @Override
  public void run() {
    try {
      serve();
    } catch (SocketTimeoutException e) {
      sendReason(
          "the connection is closed: the command was not complete within "
              + gateway.timeoutMillis
              + " ms");
    } catch (ProtocolException e) {
      sendReason(e.getMessage());
    } catch (IOException e) {
      // The usual end of a connection: the client has disconnected, or close() was called.
    } catch (Throwable e) {
      String problem = "a control connection has failed and is closed: " + e;
      gateway.log(problem);
      sendReason(problem);
    } finally {
      Gateway.closeQuietly(socket);
      gateway.ended(this);
    }
  }

  private void serve() throws IOException {
    authenticate();
    if (!begin()) {
      return;
    }
    authenticated = true;
    gateway.commands.connected(this);
    String answer = Protocol.getOutputVoidCommand();
    while (answer(answer) && reader.await()) {
      List<String> command = reader.command();
      if (!begin()) {
        return;
      }
      answer = execute(command);
    }
  }

  private void authenticate() throws IOException {
    if (!reader.line().equals(CommandReader.AUTHENTICATION)) {
      throw new ProtocolException(
          "the connection is closed: the gateway accepts no command before the token");
    }
    if (!gateway.token.matches(reader.line())) {
      gateway.countWrongToken();
      throw new ProtocolException(
          "the connection is closed: wrong token; the file control in the stub directory holds it");
    }
  }

  private String execute(List<String> command) {
    try {
      byte[] reply = gateway.entryPoint.execute(this, command);
      return Protocol.getOutputCommand(ReturnObject.getPrimitiveReturnObject(reply));
    } catch (CommandRejectedException e) {
      return Protocol.getOutputErrorCommand(e.getMessage());
    } catch (Throwable e) {
      String problem = "the command " + command.get(2) + " has failed: " + e;
      gateway.log(problem);
      return Protocol.getOutputErrorCommand(problem);
    }
  }

  private synchronized boolean begin() {
    if (closing) {
      return false;
    }
    state = State.EXECUTING;
    return true;
  }

  /** Sends an answer. Returns true if more commands may follow. */
  private boolean answer(String line) throws IOException {
    enter(State.ANSWERING);
    write(line);
    return enter(State.WAITING);
  }

  private synchronized boolean enter(State next) {
    state = next;
    notifyAll();
    return !closing;
  }

  private void write(String line) throws IOException {
    socket.getOutputStream().write(line.getBytes(StandardCharsets.UTF_8));
  }

  /** Sends the client the reason why its connection ends, if it is still connected. */
  private void sendReason(String why) {
    try {
      write(Protocol.getOutputErrorCommand(why));
    } catch (IOException e) {
      // The client has disconnected.
    }
  }

  /** Ends the connection, at once or after the answer to the running command. */
  synchronized void close() {
    closing = true;
    if (state == State.WAITING) {
      Gateway.closeQuietly(socket);
    }
  }

  /**
   * Waits, after {@link #close}, for the answer to the running command. Waits at most the timeout
   * for the client to read it.
   */
  synchronized void finish() throws InterruptedException {
    while (state == State.EXECUTING) {
      wait();
    }
    long end = System.nanoTime() + gateway.timeoutMillis * NANOS_PER_MILLI;
    long left = gateway.timeoutMillis;
    while (state == State.ANSWERING && left > 0) {
      wait(left);
      left = (end - System.nanoTime()) / NANOS_PER_MILLI;
    }
    Gateway.closeQuietly(socket);
  }
}
