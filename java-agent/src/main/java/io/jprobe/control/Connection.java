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
 * One client, on a thread of its own: it authenticates itself, then its commands are answered one
 * by one. Closing spares a command that is being performed, until it has been answered.
 */
final class Connection implements Runnable {
  private enum State {
    WAITING,
    PERFORMING,
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
    // An answer is one write: its last segment need not wait for the others' acknowledgement.
    socket.setTcpNoDelay(true);
    this.reader = new CommandReader(socket, gateway.patienceMillis);
  }

  boolean isAuthenticated() {
    return authenticated;
  }

  @Override
  public void run() {
    try {
      converse();
    } catch (SocketTimeoutException e) {
      lastWord(
          "the connection is closed: a command has not come whole within "
              + gateway.patienceMillis
              + " ms");
    } catch (ProtocolException e) {
      lastWord(e.getMessage());
    } catch (IOException e) {
      // The client has gone, or close() was called: that is how connections end.
    } catch (Throwable e) {
      String problem = "a control connection has failed and is closed: " + e;
      gateway.log(problem);
      lastWord(problem);
    } finally {
      Gateway.closeQuietly(socket);
      gateway.ended(this);
    }
  }

  private void converse() throws IOException {
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
      answer = perform(command);
    }
  }

  private void authenticate() throws IOException {
    if (!reader.line().equals(CommandReader.AUTHENTICATION)) {
      throw new ProtocolException(
          "the connection is closed: the gateway takes no command before the token");
    }
    if (!gateway.token.matches(reader.line())) {
      gateway.countWrongToken();
      throw new ProtocolException(
          "the connection is closed: wrong token; the file control in the stub directory has it");
    }
  }

  private String perform(List<String> command) {
    try {
      byte[] reply = gateway.entryPoint.perform(this, command);
      return Protocol.getOutputCommand(ReturnObject.getPrimitiveReturnObject(reply));
    } catch (Refusal e) {
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
    state = State.PERFORMING;
    return true;
  }

  /** Returns whether more commands are welcome. */
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

  /** Tells the client why its connection ends, if it still listens. */
  private void lastWord(String why) {
    try {
      write(Protocol.getOutputErrorCommand(why));
    } catch (IOException e) {
      // It does not.
    }
  }

  /** Ends the connection, or lets it end with the answer that it owes. */
  synchronized void close() {
    closing = true;
    if (state == State.WAITING) {
      Gateway.closeQuietly(socket);
    }
  }

  /** After {@link #close}: waits for that answer, but not for a client that does not read it. */
  synchronized void finish() throws InterruptedException {
    while (state == State.PERFORMING) {
      wait();
    }
    long end = System.nanoTime() + gateway.patienceMillis * NANOS_PER_MILLI;
    long left = gateway.patienceMillis;
    while (state == State.ANSWERING && left > 0) {
      wait(left);
      left = (end - System.nanoTime()) / NANOS_PER_MILLI;
    }
    Gateway.closeQuietly(socket);
  }
}
