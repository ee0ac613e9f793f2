// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import io.jprobe.stub.NativeLibrary;
import io.jprobe.stub.NativeProvider;
import io.jprobe.stub.Shape;
import io.jprobe.stub.StubException;
import java.lang.ref.Cleaner;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A named group of USDT probes that this program makes for itself, and that tracers (jcollect,
 * bpftrace, bcc, perf) find in its memory map and attach to:
 *
 * <pre>{@code
 * try (Provider orders = Provider.create("orders")) {
 *   Probe placed = orders.addProbe("placed", INT64, STRING);
 *   orders.load();
 *   placed.fire(42L, "x");
 * }
 * }</pre>
 *
 * <p>Usually a provider lives as long as the program, in a static field, and is not closed; its
 * probes cost next to nothing while nobody listens. One that is closed leaves no file behind; nor
 * does one that is not, once it and its probes are unreachable, or the JVM has ended.
 *
 * <p>All methods may be called by any thread at any time, virtual threads included. After {@link
 * #close} those that need an open provider, and those of its probes, throw {@link
 * IllegalStateException}.
 */
public final class Provider implements AutoCloseable {
  /** As many values can tracers read of a probe. */
  public static final int MAX_ARGUMENTS = Shape.MAX_VALUES;

  private static final Cleaner CLEANER = Cleaner.create();

  private final String name;
  private final long handle;
  private final List<Probe> probes = new ArrayList<>();

  /** How many of the probes, from the first on, tracers can find. */
  private int loaded;

  private boolean closed;

  private Provider(String name, long handle) {
    this.name = name;
    this.handle = handle;
    // Closing leaves the semaphores readable, for threads that are about to look. Those end here.
    CLEANER.register(this, destruction(handle));
  }

  /** Static, so that it holds no reference to the provider. */
  private static Runnable destruction(long handle) {
    return () -> NativeProvider.destroy(handle);
  }

  /**
   * Makes a provider without probes. Its stub libraries are to be files below the directory that
   * the system property {@code jprobe.dir} names, or else {@code java.io.tmpdir}; where files there
   * cannot be made or executed, they are in memory.
   *
   * @param name what tracers call it: letters, digits and any of "_-./@#$+", at most 238
   * @throws IllegalArgumentException if tracers could not name it so
   * @throws StapsdtException if the native library cannot be loaded: no Linux on x86_64 or aarch64,
   *     no directory to load it from, or {@code --illegal-native-access=deny} without {@code
   *     --enable-native-access}
   */
  public static Provider create(String name) throws StapsdtException {
    try {
      NativeLibrary.load(directory());
    } catch (StubException e) {
      throw new StapsdtException(e.getMessage());
    }
    return new Provider(name, NativeProvider.create(utf8(name), utf8(directory())));
  }

  private static String directory() {
    return System.getProperty("jprobe.dir", System.getProperty("java.io.tmpdir"));
  }

  private static byte[] utf8(String text) {
    if (text.indexOf('\0') >= 0) {
      throw new IllegalArgumentException(
          "a name ends where its NUL is, so it can have none: " + text);
    }
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /**
   * Adds a probe. It can be traced from the next {@link #load} on; until then it may be fired, and
   * nobody listens.
   *
   * @param name what tracers call it: as the provider's; no other probe of this provider has it
   * @param types of the values that it passes; at most 12
   * @throws IllegalArgumentException if tracers could not read such a probe, or the name is taken
   * @throws IllegalStateException if the provider is closed
   */
  public synchronized Probe addProbe(String name, ArgumentType... types) {
    List<ArgumentType> arguments = List.of(types);
    byte[] codes = new byte[arguments.size()];
    for (int i = 0; i < codes.length; i++) {
      codes[i] = arguments.get(i).code;
    }
    requireOpen();
    Probe probe = new Probe(this, name, arguments, NativeProvider.add(handle, utf8(name), codes));
    probes.add(probe);
    return probe;
  }

  /**
   * Lets tracers find the probes that were added since the last time; those are one stub library
   * more. Without any it does nothing.
   *
   * @throws StapsdtException if the stub library cannot be made; nothing has changed then
   * @throws IllegalStateException if the provider is closed
   */
  public synchronized void load() throws StapsdtException {
    requireOpen();
    if (loaded == probes.size()) {
      return;
    }
    try {
      NativeProvider.load(handle);
    } catch (StubException e) {
      throw new StapsdtException(e.getMessage());
    }
    for (Probe probe : probes.subList(loaded, probes.size())) {
      probe.listenTo(NativeProvider.semaphore(probe.handle()));
    }
    loaded = probes.size();
  }

  /** Whether there is something for tracers to find: loaded at least once, and not closed. */
  public synchronized boolean isLoaded() {
    return !closed && loaded > 0;
  }

  /** What tracers call it. */
  public String name() {
    return name;
  }

  /** The probes by now, in the order in which they were added. */
  public synchronized List<Probe> probes() {
    return List.copyOf(probes);
  }

  /**
   * Takes the probes away from tracers and removes the stub libraries. Does not wait for calls that
   * are at a probe, which end in peace. The provider cannot be loaded again. Closing twice does
   * nothing.
   */
  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    for (Probe probe : probes) {
      probe.close();
    }
    NativeProvider.unload(handle);
  }

  private void requireOpen() {
    if (closed) {
      throw closedException();
    }
  }

  IllegalStateException closedException() {
    return new IllegalStateException("the provider " + name + " is closed");
  }

  @Override
  public String toString() {
    return name;
  }
}
