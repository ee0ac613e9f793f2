// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.List;
import org.junit.Rule;
import org.junit.Test;

/** No call is executed before the token, and a token that comes later or again has no effect. */
public class UnauthenticatedCallTest {
  @Rule public final OpenGateway open = new OpenGateway(5_000);

  @Test
  public void theFiveCallsNeedTheToken() throws Exception {
    String[] calls = {
      "status", "reset", "select\nsx\nbTrue", "unselect\nsx", "set\nsx\nsy",
    };
    for (String call : calls) {
      try (ControlClient client = open.connect()) {
        // The token follows, but too late.
        client.send("c", "t", call, "e", "A", open.endpoint.token, "c", "t", call, "e");
        assertTrue(client.answer().startsWith("!xsthe connection is closed"));
        assertNull(client.answer());
      }
    }
    assertEquals(List.of(), open.commands.calls);
    assertEquals(List.of(), open.commands.connected);
  }

  @Test
  public void authenticatingAgainIsRejectedLikeAnyOtherCommand() throws Exception {
    try (ControlClient client = open.authenticated()) {
      assertTrue(client.send("A", open.endpoint.token).answer().startsWith("!xsrejected"));
      assertTrue(client.send("A", "wrong").answer().startsWith("!xsrejected"));
      open.assertServes(client);
      assertEquals(1, open.commands.connected.size());
    }
  }
}
