// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.layout.DirectSemaphoresLayout;
import io.jprobe.layout.SlotLayout;
import io.jprobe.stub.StubLibrary;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * The {@link Sinks} that tracers request of each slot of a stub library: by its tracer semaphore,
 * by its direct semaphores, or by a lease on the gateway. Leases are not counted in the semaphores,
 * because the kernel increments these without atomics.
 */
final class RequestedSinks {
  private final List<TracedMethod> methodBySlot;
  private final ByteBuffer semaphores;
  private final ByteBuffer lastSemaphores;
  private final ByteBuffer direct;
  private final ByteBuffer lastDirect;
  private final byte[] requested;

  /** Null before the first lease. */
  private byte[] leased;

  private boolean hasLeaseChanged;

  /** The sinks that are requested of any slot. */
  private int union;

  RequestedSinks(StubLibrary library, List<TracedMethod> methodBySlot) {
    this.methodBySlot = methodBySlot;
    this.semaphores = library.semaphores();
    this.lastSemaphores = copyOf(semaphores);
    this.direct = library.directSemaphores();
    this.lastDirect = copyOf(direct);
    this.requested = new byte[methodBySlot.size()];
  }

  private static ByteBuffer copyOf(ByteBuffer zeros) {
    return ByteBuffer.allocate(zeros.capacity()).order(ByteOrder.nativeOrder());
  }

  /**
   * Polls the semaphores. Returns true if the request of a slot has changed. Costs two vectorized
   * comparisons if no semaphore has.
   */
  boolean poll() {
    if (semaphores.mismatch(lastSemaphores) < 0
        && direct.mismatch(lastDirect) < 0
        && !hasLeaseChanged) {
      return false;
    }
    hasLeaseChanged = false;
    boolean hasChanged = false;
    union = 0;
    for (int slot = 0; slot < requested.length; slot++) {
      byte now = (byte) (read(slot) & methodBySlot.get(slot).possibleSinks(slot));
      hasChanged |= now != requested[slot];
      requested[slot] = now;
      union |= now;
    }
    return hasChanged;
  }

  private int read(int slot) {
    int at = slot * DirectSemaphoresLayout.SIZE;
    int sinks = leased == null ? 0 : leased[slot];
    sinks |= read(semaphores, lastSemaphores, slot * SlotLayout.SEMAPHORE_BYTES, Sinks.TRAP);
    sinks |= read(direct, lastDirect, at + DirectSemaphoresLayout.EVENT, Sinks.EVENT);
    sinks |= read(direct, lastDirect, at + DirectSemaphoresLayout.COUNT, Sinks.COUNT);
    return sinks;
  }

  /** Returns the sink if its semaphore is up. */
  private static int read(ByteBuffer now, ByteBuffer last, int offset, int sink) {
    short value = now.getShort(offset);
    last.putShort(offset, value);
    return value == 0 ? 0 : sink;
  }

  /** Ends all leases. {@link #lease} must follow for those that go on. */
  void clearLeases() {
    if (leased != null) {
      leased = null;
      hasLeaseChanged = true;
    }
  }

  /** Requests a sink of some slots. */
  void lease(int firstSlot, int lastSlot, int sink) {
    if (leased == null) {
      leased = new byte[requested.length];
    }
    for (int slot = firstSlot; slot <= lastSlot; slot++) {
      leased[slot] |= (byte) sink;
    }
    hasLeaseChanged = true;
  }

  /** Returns the sinks that were requested of a slot at the last poll. */
  int of(int slot) {
    return requested[slot];
  }

  /** Returns the sinks that were requested of any slot at the last poll. */
  int union() {
    return union;
  }
}
