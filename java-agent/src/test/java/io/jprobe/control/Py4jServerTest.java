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
 * The other half of {@link GatewayRefusalTest}: where Py4J's own server reads the same lines, they
 * do what they say. Were they misspelt, their refusal would prove nothing.
 */
public class Py4jServerTest {
  private static final String TOKEN = "token";

  // Loggers are kept only as long as somebody does.
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
  public void whatLeavesATraceLeavesIt() throws Exception {
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
  public void whatTellsSomethingTellsIt() throws Exception {
    for (Map.Entry<String, String[]> command : ForeignCommands.telling().entrySet()) {
      String answer = answer(command.getValue());
      assertTrue(command.getKey() + ": " + answer, answer.startsWith("!y"));
    }
  }
}
