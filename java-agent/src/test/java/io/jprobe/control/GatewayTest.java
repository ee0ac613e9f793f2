// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.catalog.PublishedClass;
import io.jprobe.stub.StubDirectory;
import io.jprobe.stub.StubException;
import java.io.File;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The gateway serves authenticated clients. */
public class GatewayTest {
  private static final InheritableThreadLocal<String> INHERITABLE = new InheritableThreadLocal<>();

  @Rule public final OpenGateway open = new OpenGateway(5_000);
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private static String text(byte[] reply) {
    return new String(reply, StandardCharsets.UTF_8);
  }

  @Test
  public void theCallsReachTheCommandsWithTheirArguments() throws Exception {
    try (ControlClient client = open.authenticated()) {
      assertEquals("select|true|**#a;b|true", text(client.call("select", "s**#a;b", "bTrue")));
      assertEquals("select|true||false", text(client.call("select", "s", "bfalse")));
      assertEquals("unselect|", text(client.call("unselect", "s")));
      assertEquals("set|1:0 1:5|every 2", text(client.call("set", "s1:0 1:5", "severy 2")));
      assertEquals("direct|true|1:0-5|", text(client.call("direct", "s1:0-5", "s")));
      assertEquals("overhead|true|5", text(client.call("overhead", "i5")));
      assertEquals("status", text(client.call("status")));
      assertEquals("reset", text(client.call("reset")));
      assertEquals(8, open.commands.calls.size());
    }
  }

  @Test
  public void stringsKeepTheirLinesBackslashesAndUnicode() throws Exception {
    try (ControlClient client = open.authenticated()) {
      assertEquals("unselect|a\nb\\n\rä€😀e", text(client.call("unselect", "sa\\nb\\\\n\\rä€😀e")));
    }
  }

  @Test
  public void bytesOfEveryValueAreReturnedUnchanged() throws Exception {
    try (ControlClient client = open.authenticated()) {
      for (int length = 0; length < 260; length++) {
        byte[] reply = new byte[length];
        for (int i = 0; i < length; i++) {
          reply[i] = (byte) (i * 7 + length);
        }
        open.commands.onStatus = () -> reply;
        assertTrue(Arrays.equals(reply, client.call("status")));
      }
    }
  }

  @Test
  public void aConnectionIsReportedOnceWhenItBeginsAndOnceWhenItEnds() throws Exception {
    ControlClient first = open.authenticated();
    ControlClient second = open.authenticated();
    assertEquals(2, open.commands.connected.size());
    assertNotEquals(open.commands.connected.get(0), open.commands.connected.get(1));
    assertEquals(2, open.gateway.connections());
    first.close();
    OpenGateway.waitUntil(
        "the disconnection to be reported", () -> open.commands.disconnected.size() == 1);
    assertSame(open.commands.connected.get(0), open.commands.disconnected.get(0));
    assertEquals(1, open.gateway.connections());
    open.assertServes(second);
    second.close();
    OpenGateway.waitUntil(
        "the disconnection to be reported", () -> open.commands.disconnected.size() == 2);
  }

  @Test
  public void itListensOnTheIpv4LoopbackAddressOnly() throws Exception {
    // Another socket can bind the port on other addresses only if the gateway has not.
    try (ServerSocket other = new ServerSocket()) {
      other.setReuseAddress(false);
      other.bind(new InetSocketAddress("127.0.0.2", open.endpoint.port));
    }
  }

  @Test
  public void onlyTheOwnerCanReadTheFileAndNoOtherFileIsLeft() throws Exception {
    Path file = open.directory.resolve("control");
    assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    assertEquals(List.of("control"), List.of(open.directory.toFile().list()));
    assertTrue(open.endpoint.token.matches("[0-9a-f]{64}"));
  }

  @Test
  public void everyGatewayHasItsOwnToken() throws Exception {
    String first = open.endpoint.token;
    open.gateway.close();
    Path unfinished = open.directory.resolve("control.new");
    Files.writeString(unfinished, "left by a writer that was killed");
    Gateway second = Gateway.open(open.commands, open.directory.toString(), open.log::add, 5_000);
    assertNotEquals(first, ControlClient.Endpoint.read(open.directory).token);
    assertFalse(Files.exists(unfinished));
    second.close();
  }

  @Test
  public void removingTheStubDirectoryRemovesTheFile() throws Exception {
    PublishedClass.loadNative();
    StubDirectory directory = StubDirectory.create(folder.getRoot().getPath());
    Gateway gateway = Gateway.open(open.commands, directory.path(), open.log::add);
    assertTrue(new File(directory.path(), "control").exists());
    directory.remove();
    assertFalse(new File(directory.path()).exists());
    gateway.close();
    assertEquals(List.of(), open.log);
  }

  @Test
  public void filesOfAKilledProcessAreRemoved() throws Exception {
    PublishedClass.loadNative();
    Path dead = folder.newFolder("jprobe-4711-0123456789abcdef").toPath();
    Files.writeString(dead.resolve("control"), "x");
    Files.writeString(dead.resolve("control.new"), "x");
    Path foreign = folder.newFolder("jprobe-4712-0123456789abcdef").toPath();
    Files.writeString(foreign.resolve("control.txt"), "of another program");
    StubDirectory.create(folder.getRoot().getPath()).remove();
    assertFalse(Files.exists(dead));
    assertTrue(Files.exists(foreign.resolve("control.txt")));
  }

  @Test
  public void withoutADirectoryTheErrorNamesTheRemedy() {
    StubException none =
        assertThrows(StubException.class, () -> Gateway.open(open.commands, null, open.log::add));
    assertTrue(none.getMessage(), none.getMessage().contains("option dir"));
    String missing = folder.getRoot() + "/missing";
    StubException absent =
        assertThrows(
            StubException.class, () -> Gateway.open(open.commands, missing, open.log::add));
    assertTrue(absent.getMessage(), absent.getMessage().contains(missing));
  }

  @Test
  public void itsThreadsKeepNoObjectOfTheApplication() throws Exception {
    INHERITABLE.set("the application's");
    AtomicReference<String> seen = new AtomicReference<>("not called");
    open.commands.onStatus =
        () -> {
          seen.set(INHERITABLE.get());
          return new byte[0];
        };
    open.gateway.close();
    try (Gateway gateway =
            Gateway.open(open.commands, open.directory.toString(), open.log::add, 5_000);
        ControlClient client =
            new ControlClient(ControlClient.Endpoint.read(open.directory).port)) {
      client.send("A", ControlClient.Endpoint.read(open.directory).token).answer();
      client.call("status");
      assertNull(seen.get());
      assertEquals(1, gateway.connections());
      List<Thread> threads = OpenGateway.threads();
      assertTrue(threads.size() >= 2);
      for (Thread thread : threads) {
        assertTrue(thread.isDaemon());
        assertNull(thread.getContextClassLoader());
      }
    } finally {
      INHERITABLE.remove();
    }
  }

  @Test
  public void aCommandThatFailsIsAnsweredAndLoggedWithoutAStackTrace() throws Exception {
    open.commands.onStatus =
        () -> {
          throw new IllegalStateException("out of\nclasses");
        };
    try (ControlClient client = open.authenticated()) {
      String answer = client.send("c", "t", "status", "e").answer();
      assertEquals(
          "!xsthe command status has failed:"
              + " java.lang.IllegalStateException: out of\\nclasses",
          answer);
      open.commands.onStatus =
          () -> {
            throw new StackOverflowError();
          };
      assertTrue(client.send("c", "t", "status", "e").answer().startsWith("!xs"));
      assertEquals(2, open.log.size());
      assertEquals(
          "the command status has failed: java.lang.IllegalStateException: out of classes",
          open.log.get(0));
      assertEquals("unselect|x", text(client.call("unselect", "sx")));
    }
  }

  @Test
  public void aCommandThatReturnsNothingIsAnsweredWithAnError() throws Exception {
    open.commands.onStatus = () -> null;
    try (ControlClient client = open.authenticated()) {
      assertTrue(client.send("c", "t", "status", "e").answer().startsWith("!xs"));
      assertEquals("unselect|x", text(client.call("unselect", "sx")));
    }
  }
}
