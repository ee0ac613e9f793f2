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
 * The gateway rejects each of the commands from all clients, executes nothing, and continues.
 * {@link Py4jServerTest} shows that the lines would have an effect in another gateway.
 */
@RunWith(Parameterized.class)
public class GatewayRejectionTest {
  @Rule public final OpenGateway open = new OpenGateway(5_000);

  @Parameter(0)
  public String name;

  @Parameter(1)
  public String[] lines;

  @Parameters(name = "{0}")
  public static Iterable<Object[]> commands() {
    Map<String, String[]> all = new LinkedHashMap<>(ForeignCommands.tracing());
    all.putAll(ForeignCommands.revealing());
    all.putAll(ForeignCommands.others());
    List<Object[]> parameters = new ArrayList<>();
    all.forEach((name, lines) -> parameters.add(new Object[] {name, lines}));
    return parameters;
  }

  @Before
  public void clearTraces() {
    Bait.touched = 0;
    System.clearProperty(ForeignCommands.PROPERTY);
  }

  @After
  public void noTraceIsLeft() {
    assertEquals(0, Bait.touched);
    assertNull(System.getProperty(ForeignCommands.PROPERTY));
    assertEquals(List.of(), open.log);
  }

  private static void assertRejected(String answer) {
    assertTrue(answer, answer.startsWith("!xsrejected: this gateway serves eleven calls"));
    assertFalse(answer, answer.contains("\\n") || answer.contains("Exception"));
  }

  @Test
  public void itIsRejectedFromAClientWithTheToken() throws Exception {
    try (ControlClient client = open.authenticated()) {
      for (int i = 0; i < 2; i++) {
        assertRejected(client.send(lines).answer());
      }
      assertEquals(List.of(), open.commands.calls);
      open.assertServes(client);
      assertEquals(List.of("status"), open.commands.calls);
      assertEquals(1, open.commands.connected.size());
      assertEquals(List.of(), open.commands.disconnected);
    }
  }

  @Test
  public void itIsRejectedFromAClientWithoutTheToken() throws Exception {
    try (ControlClient stranger = open.connect()) {
      stranger.send(lines);
      String answer = stranger.answer();
      assertEquals(
          "!xsthe connection is closed: the gateway accepts no command before the token", answer);
      assertNull(stranger.answer());
    }
    assertEquals(List.of(), open.commands.connected);
    assertEquals(List.of(), open.commands.calls);
    try (ControlClient client = open.authenticated()) {
      open.assertServes(client);
    }
  }
}
