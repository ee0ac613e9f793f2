// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Supplier;

/** Commands that record their arguments, and whose behavior the test sets. */
class RecordingCommands implements Commands {
  final List<String> calls = new CopyOnWriteArrayList<>();
  final List<Object> connected = new CopyOnWriteArrayList<>();
  final List<Object> disconnected = new CopyOnWriteArrayList<>();

  /** The implementation of status(). */
  volatile Supplier<byte[]> onStatus = () -> "status".getBytes(StandardCharsets.UTF_8);

  volatile Runnable onReset = () -> {};

  private byte[] record(Object... call) {
    List<String> words = new ArrayList<>();
    for (Object word : call) {
      words.add(word.toString());
    }
    String text = String.join("|", words);
    calls.add(text);
    return text.getBytes(StandardCharsets.UTF_8);
  }

  @Override
  public byte[] select(Object client, String selectors, boolean leased) {
    return record("select", connected.contains(client), selectors, leased);
  }

  @Override
  public byte[] unselect(String selectors) {
    return record("unselect", selectors);
  }

  @Override
  public byte[] set(String methods, String settings) {
    return record("set", methods, settings);
  }

  @Override
  public byte[] attached(Object client, int next) {
    return record("attached", connected.contains(client), next);
  }

  @Override
  public byte[] limits(Object client, String settings, String scope) {
    return record("limits", connected.contains(client), settings, scope);
  }

  @Override
  public byte[] direct(Object client, String events, String counts) {
    return record("direct", connected.contains(client), events, counts);
  }

  @Override
  public byte[] overhead(Object client, int percent) {
    return record("overhead", connected.contains(client), percent);
  }

  @Override
  public byte[] status() {
    record("status");
    return onStatus.get();
  }

  @Override
  public byte[] find(String pattern, int most) {
    return record("find", pattern, most);
  }

  @Override
  public byte[] explain(String selectors) {
    return record("explain", selectors);
  }

  @Override
  public byte[] reset() {
    onReset.run();
    return record("reset");
  }

  @Override
  public void connected(Object client) {
    connected.add(client);
  }

  @Override
  public void disconnected(Object client) {
    disconnected.add(client);
  }
}
