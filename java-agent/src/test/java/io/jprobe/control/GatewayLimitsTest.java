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
 * Too much, too slow, too many: the gateway goes on, and does nothing that it was not asked for.
 */
public class GatewayLimitsTest {
  private static final int PATIENCE_MILLIS = 300;
  private static final int MEBIBYTE = 1 << 20;

  @Rule public final OpenGateway open = new OpenGateway(PATIENCE_MILLIS);

  /** Reads until the gateway ends the connection; every answer before that is an error. */
  private static void assertEnded(ControlClient client) throws IOException {
    for (String answer = client.answer(); answer != null; answer = client.answer()) {
      assertTrue(answer, answer.startsWith("!xs"));
    }
  }

  /** Sends what the other side may refuse to read to its end. */
  private static void sendWhilePossible(ControlClient client, byte[] bytes) {
    try {
      client.sendRaw(bytes);
    } catch (IOException e) {
      // It has ended the connection.
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
  public void aCommandMayHaveAMebibyteAndNotMore() throws Exception {
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
  public void aStrangerMayHaveNoMoreThanATokenTakes() throws Exception {
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
  public void veryManyArgumentsAreRefusedAndNotKept() throws Exception {
    try (ControlClient client = open.authenticated()) {
      String arguments = "s\n".repeat(400_000);
      client.send("c", "t", "set", arguments + "e");
      assertTrue(client.answer().startsWith("!xsrefused"));
      open.assertServes(client);
    }
  }

  @Test
  public void aStrangerWhoSaysNothingIsLeft() throws Exception {
    try (ControlClient client = open.connect()) {
      assertTrue(client.answer().contains("has not come whole within 300 ms"));
      assertNull(client.answer());
    }
    assertOthersAreServed();
  }

  @Test
  public void aStrangerWhoDripsIsLeft() throws Exception {
    try (ControlClient client = open.connect()) {
      long begin = System.nanoTime();
      Thread drip =
          new Thread(
              () -> {
                for (int i = 0; i < 100; i++) {
                  sendWhilePossible(client, letters(1));
                  try {
                    Thread.sleep(PATIENCE_MILLIS / 10);
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
      assertTrue("left after " + millis + " ms", millis < 9 * PATIENCE_MILLIS);
    }
    assertOthersAreServed();
  }

  @Test
  public void aCommandThatStopsInTheMiddleEndsItsConnection() throws Exception {
    try (ControlClient client = open.authenticated()) {
      client.send("c", "t", "status");
      assertTrue(client.answer().contains("has not come whole"));
      assertNull(client.answer());
      assertEquals(List.of(), open.commands.calls);
    }
    assertOthersAreServed();
  }

  @Test
  public void aClientMayBeSilentBetweenCommands() throws Exception {
    try (ControlClient client = open.authenticated()) {
      // That much time has to pass: it is what the test is about.
      Thread.sleep(3 * PATIENCE_MILLIS);
      open.assertServes(client);
    }
  }

  @Test
  public void commandsMayComeInPiecesAndInOne() throws Exception {
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
  public void clientsThatGoAtOnceAreNoTrouble() throws Exception {
    for (int i = 0; i < 100; i++) {
      open.connect().reset();
      open.authenticated().reset();
    }
    OpenGateway.waitUntil("all have gone", () -> open.commands.disconnected.size() == 100);
    assertOthersAreServed();
    assertEquals(List.of(), open.log);
  }

  @Test
  public void garbageEndsWithNothingDone() throws Exception {
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
  public void oneClientTooManyIsRefusedUntilAnotherEnds() throws Exception {
    List<ControlClient> clients = new ArrayList<>();
    for (int i = 0; i < Gateway.MOST_CONNECTIONS; i++) {
      clients.add(open.authenticated());
    }
    try (ControlClient tooMany = open.connect()) {
      assertTrue(tooMany.answer().contains("16 clients already"));
      assertNull(tooMany.answer());
    }
    assertEquals(Gateway.MOST_CONNECTIONS, open.gateway.connections());
    clients.get(3).close();
    OpenGateway.waitUntil("one has gone", () -> open.gateway.connections() == 15);
    clients.set(3, open.authenticated());
    for (ControlClient client : clients) {
      open.assertServes(client);
      client.close();
    }
  }

  @Test
  public void strangersMakeRoomForThoseWhoHaveTheToken() throws Exception {
    List<ControlClient> strangers = new ArrayList<>();
    for (int i = 0; i < 3 * Gateway.MOST_CONNECTIONS; i++) {
      strangers.add(open.connect());
    }
    assertOthersAreServed();
    for (ControlClient stranger : strangers) {
      assertEnded(stranger);
      stranger.close();
    }
  }

  @Test
  public void aTokenIsRightInFullOrNotAtAll() throws Exception {
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
