// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameter;
import org.junit.runners.Parameterized.Parameters;

/**
 * The gateway refuses each of the commands to everyone, does nothing, and goes on. That the lines
 * would do something in another gateway is seen in {@link Py4jServerTest}.
 */
@RunWith(Parameterized.class)
public class GatewayRefusalTest {
  @Rule public final OpenGateway open = new OpenGateway(5_000);

  @Parameter(0)
  public String name;

  @Parameter(1)
  public String[] lines;

  @Parameters(name = "{0}")
  public static Iterable<Object[]> commands() {
    Map<String, String[]> all = new LinkedHashMap<>(ForeignCommands.tracing());
    all.putAll(ForeignCommands.telling());
    all.putAll(ForeignCommands.others());
    List<Object[]> parameters = new ArrayList<>();
    all.forEach((name, lines) -> parameters.add(new Object[] {name, lines}));
    return parameters;
  }

  @Before
  public void nothingHasHappened() {
    Bait.touched = 0;
    System.clearProperty(ForeignCommands.PROPERTY);
  }

  @After
  public void nothingHasHappenedStill() {
    assertEquals(0, Bait.touched);
    assertNull(System.getProperty(ForeignCommands.PROPERTY));
    assertEquals(List.of(), open.log);
  }

  private static void assertRefused(String answer) {
    assertTrue(answer, answer.startsWith("!xsrefused: this gateway serves five calls"));
    assertFalse(answer, answer.contains("\\n") || answer.contains("Exception"));
  }

  @Test
  public void itIsRefusedToTheClientWithTheToken() throws Exception {
    try (ControlClient client = open.authenticated()) {
      for (int i = 0; i < 2; i++) {
        assertRefused(client.send(lines).answer());
      }
      assertEquals(List.of(), open.commands.calls);
      open.assertServes(client);
      assertEquals(List.of("status"), open.commands.calls);
      assertEquals(1, open.commands.connected.size());
      assertEquals(List.of(), open.commands.disconnected);
    }
  }

  @Test
  public void itIsRefusedToTheClientWithoutTheToken() throws Exception {
    try (ControlClient stranger = open.connect()) {
      stranger.send(lines);
      String answer = stranger.answer();
      assertEquals(
          "!xsthe connection is closed: the gateway takes no command before the token", answer);
      assertNull(stranger.answer());
    }
    assertEquals(List.of(), open.commands.connected);
    assertEquals(List.of(), open.commands.calls);
    try (ControlClient client = open.authenticated()) {
      open.assertServes(client);
    }
  }
}
