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
 * Lets a client of Py4J command the agent: listens on the loopback interface, and tells in a file
 * of the stub directory where, and with which token.
 *
 * <p>Of Py4J it uses {@link Protocol}, which turns lines into values and back, and nothing that
 * acts: Py4J's own server would offer reflection on the whole program to whoever has the token.
 * These classes are not even in the agent's jar (build.gradle). It is tried with Py4J 0.10.9.9.
 *
 * <p>Py4J's server and commands log with java.util.logging; the classes used here do not, so that
 * the gateway never starts a LogManager before the application has chosen its own, and serves as
 * well in an image without the module java.logging.
 */
public final class Gateway implements AutoCloseable {
  static final int MOST_CONNECTIONS = 16;
  private static final int PATIENCE_MILLIS = 5_000;
  private static final int PAUSE_MILLIS = 1_000;

  /** By number, so that no name is resolved. */
  private static final byte[] LOOPBACK = {127, 0, 0, 1};

  final Commands commands;
  final EntryPoint entryPoint;
  final Token token;

  /** For a command to come whole, and for an answer to be read once the gateway is closed. */
  final int patienceMillis;

  private final Consumer<String> log;
  private final ServerSocket server;

  // Guarded by this.
  private EndpointFile file;
  private final Set<Connection> connections = new LinkedHashSet<>();
  private boolean closed;
  private int threads;
  private long wrongTokens;

  // The accepting thread's own.
  private long failures;

  private Gateway(
      Commands commands,
      Consumer<String> log,
      int patienceMillis,
      Token token,
      ServerSocket server) {
    this.commands = commands;
    this.entryPoint = new EntryPoint(commands);
    this.log = log;
    this.patienceMillis = patienceMillis;
    this.token = token;
    this.server = server;
  }

  /**
   * Opens a gateway.
   *
   * @param stubDirectory null if there is none
   * @param log takes lines about what goes wrong; from any thread
   */
  public static Gateway open(Commands commands, String stubDirectory, Consumer<String> log)
      throws StubException {
    return open(commands, stubDirectory, log, PATIENCE_MILLIS);
  }

  static Gateway open(
      Commands commands, String stubDirectory, Consumer<String> log, int patienceMillis)
      throws StubException {
    if (stubDirectory == null) {
      throw new StubException(
          "cannot open the control gateway: there is no stub directory for its token;"
              + " name a writable parent for it with the option dir");
    }
    ServerSocket server = null;
    Gateway gateway = null;
    try {
      server = new ServerSocket();
      server.bind(new InetSocketAddress(InetAddress.getByAddress(LOOPBACK), 0));
      gateway = new Gateway(commands, log, patienceMillis, Token.random(), server);
      gateway.start(gateway::acceptAll);
      // Clients must not find a gateway that gets no thread.
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

  /** How many clients are connected and authenticated. */
  public synchronized int connections() {
    return (int) connections.stream().filter(Connection::isAuthenticated).count();
  }

  /**
   * Ends the gateway; returns at once. Idle connections end now, busy ones when they have answered:
   * it may be a command from one of them that calls this.
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
      log("cannot remove the control gateway's file: " + e + "; it can be deleted by hand");
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
      // Only an application that interrupts every thread does this; the connections end unaided.
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
        refuse(socket);
      }
    } catch (IOException e) {
      // The client has gone already.
    } catch (OutOfMemoryError e) {
      pause(e);
    } finally {
      if (!started) {
        closeQuietly(socket);
        remove(connection);
      }
    }
  }

  /** When there are too many, the one that has owed its token longest makes room. */
  private synchronized boolean add(Connection connection) {
    if (closed) {
      return false;
    }
    if (connections.size() >= MOST_CONNECTIONS) {
      Connection stranger = null;
      for (Connection other : connections) {
        if (stranger == null && !other.isAuthenticated()) {
          stranger = other;
        }
      }
      if (stranger == null) {
        return false;
      }
      stranger.close();
      connections.remove(stranger);
    }
    return connections.add(connection);
  }

  private static void refuse(Socket socket) throws IOException {
    String why = "the connection is closed: the gateway has " + MOST_CONNECTIONS + " clients";
    String answer = Protocol.getOutputErrorCommand(why + " already; end one of them");
    socket.getOutputStream().write(answer.getBytes(StandardCharsets.UTF_8));
  }

  /** In a thread that keeps nothing of the application alive. */
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

  /** A connection has ended, which is told once if its beginning was. */
  void ended(Connection connection) {
    remove(connection);
    if (connection.isAuthenticated()) {
      try {
        commands.disconnected(connection);
      } catch (Throwable e) {
        log("cannot tidy up after a control connection: " + e);
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
      log("clients of the control gateway have given a wrong token; times so far: " + count);
    }
  }

  /** Of what may come in floods, the first, second, fourth, eighth... */
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

  /** Without a file descriptor or a thread to spare, the next attempt would fail at once. */
  private void pause(Throwable reason) {
    if (!isClosed() && isWorthALine(++failures)) {
      log("the control gateway cannot take a connection, and tries again: " + reason);
    }
    synchronized (this) {
      try {
        if (!closed) {
          wait(PAUSE_MILLIS);
        }
      } catch (InterruptedException e) {
        // Only an application that interrupts every thread does this; it is tried again sooner.
      }
    }
  }

  static void closeQuietly(Closeable socket) {
    try {
      if (socket != null) {
        socket.close();
      }
    } catch (IOException e) {
      // There is nothing more to end.
    }
  }
}
