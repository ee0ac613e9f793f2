// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import io.jprobe.layout.GateLayout;
import io.jprobe.layout.SlotLayout;
import java.io.ByteArrayOutputStream;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A stub library mapped into this process. Slot i is the i-th probe definition: it has a stub, a
 * semaphore and a state byte.
 */
public final class StubLibrary {
  private final long handle;
  private final long stubs;
  private final ByteBuffer semaphores;
  private final ByteBuffer directSemaphores;
  private final ByteBuffer states;
  private final ByteBuffer gates;
  private final long gateAddress;

  /** True once the memory must not be accessed any more; getters return 0 then. */
  private volatile boolean isUnloaded;

  private StubLibrary(long handle) {
    this.handle = handle;
    this.stubs = Native.stubs(handle);
    this.semaphores = Native.semaphores(handle).order(ByteOrder.nativeOrder()).asReadOnlyBuffer();
    this.directSemaphores =
        Native.directSemaphores(handle).order(ByteOrder.nativeOrder()).asReadOnlyBuffer();
    this.states = Native.states(handle);
    this.gates = Native.gates(handle).order(ByteOrder.nativeOrder());
    this.gateAddress = Native.gateAddress(handle);
  }

  /**
   * Writes and maps a library.
   *
   * @param directory directory of its file; null for a memfd
   * @param gates number of gates, blocks of {@link GateLayout#SIZE} bytes
   * @param manifest a serialized jprobe.v1.Manifest
   */
  public static StubLibrary load(
      String directory, int generation, List<ProbeDefinition> probes, int gates, byte[] manifest)
      throws StubException {
    byte[] path = directory == null ? null : directory.getBytes(StandardCharsets.UTF_8);
    return new StubLibrary(
        Native.load(path, generation, probes.size(), pack(probes), gates, manifest));
  }

  private static byte[] pack(List<ProbeDefinition> probes) {
    ByteArrayOutputStream packed = new ByteArrayOutputStream(64 * probes.size());
    for (ProbeDefinition probe : probes) {
      packText(packed, probe.provider);
      packText(packed, probe.name);
      packed.write(probe.arguments.size());
      for (ArgumentSize argument : probe.arguments) {
        packed.write(argument.bytes);
      }
    }
    return packed.toByteArray();
  }

  private static void packText(ByteArrayOutputStream packed, String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    packed.write(bytes, 0, bytes.length);
    packed.write(0);
  }

  /** Returns the path of the backing file, or "/memfd:name". */
  public String path() {
    return Native.path(handle);
  }

  /** Returns the address of a stub in this process. */
  public long stub(int slot) {
    return stubs + (long) SlotLayout.BYTES * slot;
  }

  /**
   * Returns the semaphores, one unsigned short in native order per slot, which the kernel writes.
   * Each call returns a view with its own position.
   */
  public ByteBuffer semaphores() {
    return semaphores.duplicate().order(ByteOrder.nativeOrder());
  }

  /**
   * Returns the direct semaphores, one {@link io.jprobe.layout.DirectSemaphoresLayout} per slot,
   * which the kernel writes. Each call returns a view with its own position.
   */
  public ByteBuffer directSemaphores() {
    return directSemaphores.duplicate().order(ByteOrder.nativeOrder());
  }

  /** Returns the address of a gate in this process. */
  public long gate(int index) {
    return gateAddress + (long) GateLayout.SIZE * index;
  }

  /** Returns the word of a gate at an offset in bytes, see {@link GateLayout}. */
  public long gateWord(int index, int offset) {
    return isUnloaded ? 0 : gates.getLong(GateLayout.SIZE * index + offset);
  }

  public void setGateWord(int index, int offset, long value) {
    if (!isUnloaded) {
      gates.putLong(GateLayout.SIZE * index + offset, value);
    }
  }

  /** Returns the 32 bits of a gate at an offset in bytes. */
  public int gateInt(int index, int offset) {
    return isUnloaded ? 0 : gates.getInt(GateLayout.SIZE * index + offset);
  }

  /** Sets 32 bits of a gate. A thread that reads them also reads what was set before. */
  public void setGateInt(int index, int offset, int value) {
    if (!isUnloaded) {
      VarHandle.releaseFence();
      gates.putInt(GateLayout.SIZE * index + offset, value);
    }
  }

  /** Publishes the state of a probe: a number of jprobe.v1.ProbeState. */
  public void setState(int slot, int state) {
    if (!isUnloaded) {
      states.put(slot, (byte) state);
    }
  }

  public int state(int slot) {
    return isUnloaded ? 0 : states.get(slot);
  }

  /**
   * Permanently hides the library from tracers and removes its file. Keeps its memory as anonymous
   * memory, because threads may be executing a stub or about to.
   */
  public void retire() {
    Native.retire(handle);
  }

  /**
   * Unmaps the library and removes its file. No thread may execute a stub, be about to, or use this
   * object during or after the call.
   */
  public void unload() {
    isUnloaded = true;
    Native.unload(handle);
  }
}
