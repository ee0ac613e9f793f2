// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.junit.Rule;
import org.junit.Test;

/**
 * Input that is too large, too slow or from too many clients does not stop the gateway, and
 * executes no command.
 */
public class GatewayLimitsTest {
  private static final int TIMEOUT_MILLIS = 300;
  private static final int MEBIBYTE = 1 << 20;

  @Rule public final OpenGateway open = new OpenGateway(TIMEOUT_MILLIS);

  /** Reads until the gateway ends the connection; every answer before that is an error. */
  private static void assertEnded(ControlClient client) throws IOException {
    for (String answer = client.answer(); answer != null; answer = client.answer()) {
      assertTrue(answer, answer.startsWith("!xs"));
    }
  }

  /** Sends bytes that the gateway may not read completely. */
  private static void sendWhilePossible(ControlClient client, byte[] bytes) {
    try {
      client.sendRaw(bytes);
    } catch (IOException e) {
      // The gateway has ended the connection.
    }
  }

  private static byte[] letters(int count) {
    return "x".repeat(count).getBytes(StandardCharsets.US_ASCII);
  }

  private void assertOthersAreServed() throws IOException {
    try (ControlClient other = open.authenticated()) {
      open.assertServes(other);
    }
  }

  @Test
  public void aCommandMayHaveOneMebibyteAtMost() throws Exception {
    try (ControlClient client = open.authenticated()) {
      String selectors = "s" + "x".repeat(MEBIBYTE - 32);
      assertEquals(MEBIBYTE - 32 + "unselect|".length(), client.call("unselect", selectors).length);
      open.commands.calls.clear();
      client.send("c", "t", "unselect");
      sendWhilePossible(client, letters(MEBIBYTE));
      assertEnded(client);
      assertEquals(List.of(), open.commands.calls);
    }
    assertOthersAreServed();
  }

  @Test
  public void anUnauthenticatedClientMaySendNoMoreThanAToken() throws Exception {
    try (ControlClient client = open.connect()) {
      sendWhilePossible(client, letters(4_096));
      assertEnded(client);
    }
    try (ControlClient client = open.connect()) {
      client.send("A");
      sendWhilePossible(client, letters(MEBIBYTE));
      assertEnded(client);
    }
    assertEquals(List.of(), open.commands.connected);
    assertOthersAreServed();
  }

  @Test
  public void tooManyArgumentsAreRejectedAndNotKept() throws Exception {
    try (ControlClient client = open.authenticated()) {
      String arguments = "s\n".repeat(400_000);
      client.send("c", "t", "set", arguments + "e");
      assertTrue(client.answer().startsWith("!xsrejected"));
      open.assertServes(client);
    }
  }

  @Test
  public void aSilentUnauthenticatedClientIsDisconnected() throws Exception {
    try (ControlClient client = open.connect()) {
      assertTrue(client.answer().contains("was not complete within 300 ms"));
      assertNull(client.answer());
    }
    assertOthersAreServed();
  }

  @Test
  public void aSlowUnauthenticatedClientIsDisconnected() throws Exception {
    try (ControlClient client = open.connect()) {
      long begin = System.nanoTime();
      Thread drip =
          new Thread(
              () -> {
                for (int i = 0; i < 100; i++) {
                  sendWhilePossible(client, letters(1));
                  try {
                    Thread.sleep(TIMEOUT_MILLIS / 10);
                  } catch (InterruptedException e) {
                    return;
                  }
                }
              });
      drip.start();
      assertEnded(client);
      long millis = (System.nanoTime() - begin) / 1_000_000;
      drip.interrupt();
      drip.join();
      assertTrue("left after " + millis + " ms", millis < 9 * TIMEOUT_MILLIS);
    }
    assertOthersAreServed();
  }

  @Test
  public void anIncompleteCommandEndsItsConnection() throws Exception {
    try (ControlClient client = open.authenticated()) {
      client.send("c", "t", "status");
      assertTrue(client.answer().contains("was not complete"));
      assertNull(client.answer());
      assertEquals(List.of(), open.commands.calls);
    }
    assertOthersAreServed();
  }

  @Test
  public void aClientMayBeSilentBetweenCommands() throws Exception {
    try (ControlClient client = open.authenticated()) {
      // The test needs this time to pass.
      Thread.sleep(3 * TIMEOUT_MILLIS);
      open.assertServes(client);
    }
  }

  @Test
  public void commandsMayArriveInPiecesOrTogether() throws Exception {
    try (ControlClient client = open.authenticated()) {
      for (byte one : "c\nt\nstatus\ne\n".getBytes(StandardCharsets.US_ASCII)) {
        client.sendRaw(new byte[] {one});
      }
      ControlClient.bytes(client.answer());
      client.send("c", "t", "status", "e", "c", "t", "unselect", "sx", "e");
      ControlClient.bytes(client.answer());
      ControlClient.bytes(client.answer());
      assertEquals(List.of("status", "status", "unselect|x"), open.commands.calls);
    }
  }

  @Test
  public void clientsMayDisconnectAtOnce() throws Exception {
    for (int i = 0; i < 100; i++) {
      open.connect().reset();
      open.authenticated().reset();
    }
    OpenGateway.waitUntil("all to disconnect", () -> open.commands.disconnected.size() == 100);
    assertOthersAreServed();
    assertEquals(List.of(), open.log);
  }

  @Test
  public void garbageExecutesNoCommand() throws Exception {
    Random random = new Random(4711);
    for (int i = 0; i < 20; i++) {
      byte[] garbage = new byte[3_000];
      random.nextBytes(garbage);
      try (ControlClient stranger = open.connect();
          ControlClient client = open.authenticated()) {
        sendWhilePossible(stranger, garbage);
        assertEnded(stranger);
        client.sendRaw(garbage);
        client.send("", "e");
        String answer = client.answer();
        assertTrue(answer, answer.startsWith("!xs"));
      }
    }
    assertEquals(List.of(), open.commands.calls);
    assertOthersAreServed();
  }

  @Test
  public void oneClientTooManyIsRejectedUntilAnotherDisconnects() throws Exception {
    List<ControlClient> clients = new ArrayList<>();
    for (int i = 0; i < Gateway.MAX_CONNECTIONS; i++) {
      clients.add(open.authenticated());
    }
    try (ControlClient tooMany = open.connect()) {
      assertTrue(tooMany.answer().contains("16 clients already"));
      assertNull(tooMany.answer());
    }
    assertEquals(Gateway.MAX_CONNECTIONS, open.gateway.connections());
    clients.get(3).close();
    OpenGateway.waitUntil("one to disconnect", () -> open.gateway.connections() == 15);
    clients.set(3, open.authenticated());
    for (ControlClient client : clients) {
      open.assertServes(client);
      client.close();
    }
  }

  @Test
  public void unauthenticatedClientsMakeRoomForThoseWithTheToken() throws Exception {
    List<ControlClient> strangers = new ArrayList<>();
    for (int i = 0; i < 3 * Gateway.MAX_CONNECTIONS; i++) {
      strangers.add(open.connect());
    }
    assertOthersAreServed();
    for (ControlClient stranger : strangers) {
      assertEnded(stranger);
      stranger.close();
    }
  }

  @Test
  public void aTokenMustMatchCompletely() throws Exception {
    String token = open.endpoint.token;
    String[] wrong = {
      "",
      "e",
      token.substring(1),
      token.substring(0, 63),
      token + "0",
      token.toUpperCase(Locale.ROOT) + " ",
      "s" + token,
      (token.charAt(0) == '0' ? '1' : '0') + token.substring(1),
      token.substring(0, 63) + (token.charAt(63) == '0' ? '1' : '0'),
    };
    for (String one : wrong) {
      try (ControlClient client = open.connect()) {
        client.send("A", one, "c", "t", "status", "e");
        assertTrue(client.answer().startsWith("!xsthe connection is closed: wrong token"));
        assertNull(client.answer());
      }
    }
    assertEquals(List.of(), open.commands.calls);
    assertEquals(List.of(), open.commands.connected);
    assertEquals("the first, second, fourth and eighth are logged", 4, open.log.size());
    assertOthersAreServed();
  }
}
