// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import io.jprobe.stub.StubException;
import java.io.Closeable;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import py4j.Protocol;

/**
 * Lets Py4J clients command the agent. Listens on the loopback interface, and publishes its port
 * and token in a file of the stub directory.
 *
 * <p>Uses only {@link Protocol} of Py4J, which converts between lines and values. Py4J's own server
 * would offer reflection on the whole program to every holder of the token; its classes are not
 * even in the agent's jar (build.gradle). Tested with Py4J 0.10.9.9.
 *
 * <p>Py4J's server and commands log with java.util.logging, but the classes used here do not. So
 * the gateway never starts a LogManager before the application has chosen its own, and also works
 * in an image without the module java.logging.
 */
public final class Gateway implements AutoCloseable {
  static final int MAX_CONNECTIONS = 16;
  private static final int TIMEOUT_MILLIS = 5_000;
  private static final int PAUSE_MILLIS = 1_000;

  /** The loopback address; no name has to be resolved. */
  private static final byte[] LOOPBACK = {127, 0, 0, 1};

  final Commands commands;
  final EntryPoint entryPoint;
  final Token token;

  /** Timeout for a complete command, and for reading an answer after the gateway was closed. */
  final int timeoutMillis;

  private final Consumer<String> log;
  private final ServerSocket server;

  // Guarded by this.
  private EndpointFile file;
  private final Set<Connection> connections = new LinkedHashSet<>();
  private boolean closed;
  private int threads;
  private long wrongTokens;

  // Used by the accepting thread only.
  private long failures;

  private Gateway(
      Commands commands,
      Consumer<String> log,
      int timeoutMillis,
      Token token,
      ServerSocket server) {
    this.commands = commands;
    this.entryPoint = new EntryPoint(commands);
    this.log = log;
    this.timeoutMillis = timeoutMillis;
    this.token = token;
    this.server = server;
  }

  /**
   * Opens a gateway.
   *
   * @param stubDirectory null if there is none
   * @param log receives lines about problems, from any thread
   */
  public static Gateway open(Commands commands, String stubDirectory, Consumer<String> log)
      throws StubException {
    return open(commands, stubDirectory, log, TIMEOUT_MILLIS);
  }

  static Gateway open(
      Commands commands, String stubDirectory, Consumer<String> log, int timeoutMillis)
      throws StubException {
    if (stubDirectory == null) {
      throw new StubException(
          "cannot open the control gateway: there is no stub directory for its token; set the"
              + " option dir to a writable directory");
    }
    ServerSocket server = null;
    Gateway gateway = null;
    try {
      server = new ServerSocket();
      server.bind(new InetSocketAddress(InetAddress.getByAddress(LOOPBACK), 0));
      gateway = new Gateway(commands, log, timeoutMillis, Token.random(), server);
      gateway.start(gateway::acceptAll);
      // Published last: clients must not find a gateway that has no thread.
      gateway.publish(stubDirectory);
      return gateway;
    } catch (IOException | RuntimeException | OutOfMemoryError e) {
      if (gateway != null) {
        gateway.close();
      }
      closeQuietly(server);
      throw new StubException(
          "cannot open the control gateway on 127.0.0.1 with its token in "
              + stubDirectory
              + ": "
              + e);
    }
  }

  private synchronized void publish(String stubDirectory) throws IOException {
    if (!closed) {
      file = EndpointFile.write(stubDirectory, server.getLocalPort(), token);
    }
  }

  /** Returns the number of authenticated clients. */
  public synchronized int connections() {
    return (int) connections.stream().filter(Connection::isAuthenticated).count();
  }

  /**
   * Closes the gateway and returns at once. Idle connections end now, busy ones after their answer:
   * the caller may be a command of one of them.
   */
  @Override
  public void close() {
    List<Connection> open;
    EndpointFile published;
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
      open = new ArrayList<>(connections);
      published = file;
      notifyAll();
    }
    try {
      if (published != null) {
        published.remove();
      }
    } catch (IOException e) {
      log("cannot remove the control gateway's file: " + e + "; delete it by hand");
    }
    closeQuietly(server);
    open.forEach(Connection::close);
  }

  private void acceptAll() {
    try {
      while (!isClosed()) {
        acceptOne();
      }
      for (Connection connection : snapshot()) {
        connection.finish();
      }
    } catch (InterruptedException e) {
      // Only an application that interrupts all threads does this. The connections end without
      // help.
    } catch (Throwable e) {
      log("the control gateway has failed and is closed: " + e);
      close();
    }
  }

  private void acceptOne() {
    Socket socket;
    try {
      socket = server.accept();
    } catch (IOException e) {
      pause(e);
      return;
    }
    Connection connection = null;
    boolean started = false;
    try {
      connection = new Connection(this, socket);
      if (add(connection)) {
        start(connection);
        started = true;
      } else if (!isClosed()) {
        reject(socket);
      }
    } catch (IOException e) {
      // The client has already disconnected.
    } catch (OutOfMemoryError e) {
      pause(e);
    } finally {
      if (!started) {
        closeQuietly(socket);
        remove(connection);
      }
    }
  }

  /** Adds a connection. If there are too many, closes the oldest unauthenticated one. */
  private synchronized boolean add(Connection connection) {
    if (closed) {
      return false;
    }
    if (connections.size() >= MAX_CONNECTIONS) {
      Connection unauthenticated = null;
      for (Connection other : connections) {
        if (unauthenticated == null && !other.isAuthenticated()) {
          unauthenticated = other;
        }
      }
      if (unauthenticated == null) {
        return false;
      }
      unauthenticated.close();
      connections.remove(unauthenticated);
    }
    return connections.add(connection);
  }

  private static void reject(Socket socket) throws IOException {
    String why = "the connection is closed: the gateway has " + MAX_CONNECTIONS + " clients";
    String answer = Protocol.getOutputErrorCommand(why + " already; disconnect one of them");
    socket.getOutputStream().write(answer.getBytes(StandardCharsets.UTF_8));
  }

  /** Starts a thread that keeps no object of the application alive. */
  private void start(Runnable task) {
    int number;
    synchronized (this) {
      number = threads++;
    }
    Thread thread = new Thread(null, task, "jprobe-control-" + number, 0, false);
    thread.setDaemon(true);
    thread.setContextClassLoader(null);
    thread.start();
  }

  /** Called when a connection has ended; reports that only if its start was reported. */
  void ended(Connection connection) {
    remove(connection);
    if (connection.isAuthenticated()) {
      try {
        commands.disconnected(connection);
      } catch (Throwable e) {
        log("cannot clean up after a control connection: " + e);
      }
    }
  }

  private synchronized void remove(Connection connection) {
    connections.remove(connection);
  }

  void countWrongToken() {
    long count;
    synchronized (this) {
      count = ++wrongTokens;
    }
    if (isWorthALine(count)) {
      log("clients of the control gateway have sent a wrong token; count so far: " + count);
    }
  }

  /** Returns true for the 1st, 2nd, 4th, 8th... of events that can come in floods. */
  private static boolean isWorthALine(long count) {
    return Long.bitCount(count) == 1;
  }

  void log(String line) {
    log.accept(line.replace('\n', ' '));
  }

  private synchronized boolean isClosed() {
    return closed;
  }

  private synchronized List<Connection> snapshot() {
    return new ArrayList<>(connections);
  }

  /** Delays the next attempt, which would fail at once for lack of file descriptors or threads. */
  private void pause(Throwable reason) {
    if (!isClosed() && isWorthALine(++failures)) {
      log("the control gateway cannot accept a connection, and will retry: " + reason);
    }
    synchronized (this) {
      try {
        if (!closed) {
          wait(PAUSE_MILLIS);
        }
      } catch (InterruptedException e) {
        // Only an application that interrupts all threads does this. The retry comes sooner.
      }
    }
  }

  static void closeQuietly(Closeable socket) {
    try {
      if (socket != null) {
        socket.close();
      }
    } catch (IOException e) {
      // The socket is unusable anyway.
    }
  }
}
