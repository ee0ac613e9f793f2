// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.Rule;
import org.junit.Test;

/** Closing the gateway. The rule checks after each test that nothing is left of it. */
public class GatewayCloseTest {
  private static final int TIMEOUT_MILLIS = 300;

  @Rule public final OpenGateway open = new OpenGateway(TIMEOUT_MILLIS);

  private final CountDownLatch entered = new CountDownLatch(1);
  private final CountDownLatch release = new CountDownLatch(1);

  private byte[] waitForRelease() {
    try {
      entered.countDown();
      release.await();
      return "late".getBytes(StandardCharsets.UTF_8);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  public void noClientCanConnectAndTheFileIsRemoved() throws Exception {
    open.gateway.close();
    assertFalse(Files.exists(open.directory.resolve("control")));
    OpenGateway.waitUntil("connections to be refused", this::isRefused);
    open.gateway.close();
  }

  /** The kernel completes handshakes until the accepting thread has returned from accept(2). */
  private boolean isRefused() {
    try (ControlClient late = open.connect()) {
      late.send("A", open.endpoint.token);
      assertNull("not served", late.answer());
      return false;
    } catch (IOException e) {
      return true;
    }
  }

  @Test
  public void idleAndUnauthenticatedClientsAreDisconnectedAtOnce() throws Exception {
    try (ControlClient client = open.authenticated();
        ControlClient halfway = open.authenticated();
        ControlClient stranger = open.connect()) {
      halfway.send("c", "t");
      open.gateway.close();
      assertNull(client.answer());
      assertNull(halfway.answer());
      assertNull(stranger.answer());
    }
  }

  @Test
  public void theCommandThatClosesItIsAnswered() throws Exception {
    open.commands.onReset = open.gateway::close;
    try (ControlClient client = open.authenticated();
        ControlClient other = open.authenticated()) {
      assertEquals("reset", new String(client.call("reset"), StandardCharsets.UTF_8));
      assertNull(client.answer());
      assertNull(other.answer());
      assertEquals(List.of("reset"), open.commands.calls);
    }
  }

  @Test
  public void aCommandThatTakesLongerThanTheTimeoutIsStillAnswered() throws Exception {
    open.commands.onStatus = this::waitForRelease;
    try (ControlClient client = open.authenticated()) {
      client.send("c", "t", "status", "e", "c", "t", "unselect", "sx", "e");
      entered.await();
      open.gateway.close();
      // The test needs this time to pass.
      Thread.sleep(2 * TIMEOUT_MILLIS);
      release.countDown();
      assertEquals(
          "late", new String(ControlClient.bytes(client.answer()), StandardCharsets.UTF_8));
      assertNull(client.answer());
      assertEquals("the next command is too late", List.of("status"), open.commands.calls);
    }
  }

  @Test
  public void aClientThatDoesNotReadItsAnswerDelaysNoOther() throws Exception {
    // More than the buffers of two sockets hold.
    open.commands.onStatus = () -> new byte[24 << 20];
    try (ControlClient deaf = open.authenticated();
        ControlClient client = open.authenticated()) {
      deaf.send("c", "t", "status", "e");
      OpenGateway.waitUntil("the answer is on its way", () -> open.commands.calls.size() == 1);
      client.call("unselect", "sx");
      open.gateway.close();
      OpenGateway.waitUntil("no thread is left", () -> OpenGateway.threads().isEmpty());
    }
  }

  @Test
  public void threadsMayCloseItConcurrentlyWhileClientsConnect() throws Exception {
    List<Thread> clients = new ArrayList<>();
    for (int i = 0; i < 12; i++) {
      boolean closes = i % 4 == 3;
      Thread client =
          new Thread(
              () -> {
                try (ControlClient one = open.authenticated()) {
                  open.assertServes(one);
                } catch (IOException | AssertionError e) {
                  // The gateway was closed.
                }
                if (closes) {
                  open.gateway.close();
                }
              });
      clients.add(client);
      client.start();
    }
    for (Thread client : clients) {
      client.join();
    }
    assertEquals(List.of(), open.log);
  }
}
