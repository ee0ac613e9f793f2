// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;
import py4j.GatewayServer;

/**
 * Complements {@link GatewayRejectionTest}: Py4J's own server executes the same lines. If they were
 * misspelt, their rejection would prove nothing.
 */
public class Py4jServerTest {
  private static final String TOKEN = "token";

  // Keeps the logger from being collected.
  private final Logger logger = Logger.getLogger("py4j");
  private GatewayServer server;

  @Before
  public void start() {
    logger.setLevel(Level.OFF);
    Bait.touched = 0;
    System.clearProperty(ForeignCommands.PROPERTY);
    server =
        new GatewayServer.GatewayServerBuilder(new Bait()).javaPort(0).authToken(TOKEN).build();
    server.start();
    Bait.touched = 0;
  }

  @After
  public void stop() {
    server.shutdown();
    System.clearProperty(ForeignCommands.PROPERTY);
  }

  private String answer(String... lines) throws Exception {
    try (ControlClient client = new ControlClient(server.getListeningPort())) {
      assertEquals("!yv", client.send("A", TOKEN).answer());
      return client.send(lines).answer();
    }
  }

  @Test
  public void tracingCommandsLeaveTheirTrace() throws Exception {
    List<String> traces = new ArrayList<>();
    for (Map.Entry<String, String[]> command : ForeignCommands.tracing().entrySet()) {
      Bait.touched = 0;
      System.clearProperty(ForeignCommands.PROPERTY);
      answer(command.getValue());
      if (Bait.touched > 0 || System.getProperty(ForeignCommands.PROPERTY) != null) {
        traces.add(command.getKey());
      }
    }
    assertEquals(new ArrayList<>(ForeignCommands.tracing().keySet()), traces);
  }

  @Test
  public void revealingCommandsRevealSomething() throws Exception {
    for (Map.Entry<String, String[]> command : ForeignCommands.revealing().entrySet()) {
      String answer = answer(command.getValue());
      assertTrue(command.getKey() + ": " + answer, answer.startsWith("!y"));
    }
  }
}
