// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import static java.util.stream.Collectors.toList;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.rules.ExternalResource;

/** Opens a gateway in its own directory, and checks after the test that nothing is left of it. */
final class OpenGateway extends ExternalResource {
  private static final long DEADLINE_NANOS = 30_000_000_000L;

  final RecordingCommands commands = new RecordingCommands();
  final List<String> log = new CopyOnWriteArrayList<>();
  private final int timeoutMillis;
  Path directory;
  Gateway gateway;
  ControlClient.Endpoint endpoint;

  OpenGateway(int timeoutMillis) {
    this.timeoutMillis = timeoutMillis;
  }

  @Override
  protected void before() throws Exception {
    directory = Files.createTempDirectory("gateway");
    gateway = Gateway.open(commands, directory.toString(), log::add, timeoutMillis);
    endpoint = ControlClient.Endpoint.read(directory);
  }

  @Override
  protected void after() {
    gateway.close();
    waitUntil("no thread is left", () -> threads().isEmpty());
    assertEquals("each connection has ended once", commands.connected, inOrderOfBeginning());
    assertEquals(0, gateway.connections());
    // Fails if files are left in it.
    assertTrue(directory.toFile().delete());
  }

  private List<Object> inOrderOfBeginning() {
    return commands.disconnected.stream()
        .sorted((a, b) -> commands.connected.indexOf(a) - commands.connected.indexOf(b))
        .collect(toList());
  }

  ControlClient connect() throws IOException {
    return new ControlClient(endpoint.port);
  }

  ControlClient authenticated() throws IOException {
    ControlClient client = connect();
    assertEquals("!yv", client.send("A", endpoint.token).answer());
    return client;
  }

  /** Asserts that the gateway serves a valid call of the client. */
  void assertServes(ControlClient client) throws IOException {
    assertEquals("status", new String(client.call("status"), StandardCharsets.UTF_8));
  }

  static List<Thread> threads() {
    Stream<Thread> all = Thread.getAllStackTraces().keySet().stream();
    return all.filter(thread -> thread.getName().startsWith("jprobe-control")).collect(toList());
  }

  static void waitUntil(String what, BooleanSupplier condition) {
    long deadline = System.nanoTime() + DEADLINE_NANOS;
    while (!condition.getAsBoolean()) {
      assertTrue("not in time: " + what, System.nanoTime() < deadline);
      try {
        Thread.sleep(5);
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
    }
  }
}
