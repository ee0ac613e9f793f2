// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.layout.DirectLayout;
import io.jprobe.layout.OverheadLayout;
import io.jprobe.stub.DirectMemory;
import io.jprobe.stub.MemoryLimit;
import io.jprobe.stub.StubException;
import io.jprobe.stub.StubLibrary;

/**
 * The memory that the sinks {@link Sinks#EVENT} and {@link Sinks#COUNT} share with collectors
 * (layout/direct.toml). It exists while a probe needs it. If it cannot be opened, the probes that
 * need it fail, and it is tried again every second. For the watcher thread only.
 */
public final class DirectLane {
  /** Default of {@link #setRingBytes}. */
  public static final int DEFAULT_RING_BYTES = 16 << 20;

  private static final long RETRY_NANOS = 1_000_000_000L;

  /** A thread uses the memory for some ns, unless it is preempted meanwhile. */
  private static final int RELEASE_ATTEMPTS = 20;

  /** The rings use at most one part in this many of the memory that the program's cgroup allows. */
  private static final int HEADROOM_PARTS = 4;

  /** The memory of captured stacks, which both lanes use. */
  public final StackMemory stacks = new StackMemory();

  private final MemoryLimit memory;
  private int ringBytes = DEFAULT_RING_BYTES;

  /** The library that has the block `overhead`, where collectors find the descriptors. */
  private StubLibrary first;

  private int available = Sinks.TRAP;
  private int histograms;

  /** True if a probe has found no unused histogram. */
  private boolean isFull;

  private StubException problem;
  private String unreported;
  private long retryAt;

  /** An agent that was reset may have left memory that a thread was using. */
  private boolean isReleasing = true;

  DirectLane() {
    this(new MemoryLimit(""));
  }

  /** Creates a lane for a process with a given limit on its memory. */
  DirectLane(MemoryLimit memory) {
    this.memory = memory;
  }

  /** Sets the size of the ring buffers that are opened from now on. */
  public void setRingBytes(int bytes) {
    ringBytes = bytes;
  }

  /** Sets the library that has the limit probes, and publishes the descriptors there. */
  void publishIn(StubLibrary library) {
    first = library;
    stacks.publishIn(library);
  }

  /** Returns the sinks that can be on. */
  int available() {
    return available;
  }

  /** Opens the memory of sinks, before any of them is turned on. */
  void open(int requested) {
    int missing = requested & ~available;
    StubException failure = null;
    if ((missing & Sinks.EVENT) != 0) {
      try {
        opened(Sinks.EVENT, OverheadLayout.RINGS, openRings());
      } catch (StubException e) {
        failure = e;
      }
    }
    if ((missing & Sinks.COUNT) != 0) {
      try {
        histograms = 0;
        isFull = false;
        opened(Sinks.COUNT, OverheadLayout.HISTOGRAMS, DirectMemory.openHistograms());
      } catch (StubException e) {
        failure = e;
      }
    }
    if (failure != null) {
      retryAt = System.nanoTime() + RETRY_NANOS;
      report(failure);
    }
    problem = failure;
  }

  /** Opens rings that the memory limit of the program's cgroup allows. */
  private int openRings() throws StubException {
    long headroom = memory.headroom();
    long part = headroom / HEADROOM_PARTS;
    if (part >= ringBytes) {
      return DirectMemory.openRings(ringBytes);
    }
    if (part < DirectLayout.MIN_BYTES) {
      throw new StubException(
          "the memory limit of the program's cgroup leaves "
              + size(headroom)
              + ", and the rings need at least "
              + size(DirectLayout.MIN_BYTES)
              + " in a quarter of that");
    }
    int descriptor = DirectMemory.openRings(part);
    unreported =
        "ring-size is reduced from "
            + size(ringBytes)
            + " to "
            + size(part)
            + ": the memory limit of the program's cgroup leaves "
            + size(headroom)
            + ", and the rings use at most a quarter of that";
    return descriptor;
  }

  /** Returns a size in KiB, rounded down, or in MiB if it is large. */
  private static String size(long bytes) {
    return bytes >= 10 << 20 ? (bytes >> 20) + " MiB" : (bytes >> 10) + " KiB";
  }

  private void opened(int sink, int word, int descriptor) {
    available |= sink;
    first.setGateInt(0, word, 1 + descriptor);
  }

  /** Reports the first of several failures. */
  private void report(StubException failure) {
    if (problem == null) {
      unreported =
          "cannot trace through shared memory: "
              + failure.getMessage()
              + "; the probes fail, and the agent retries every second";
    }
  }

  /** Closes the memory of sinks, which must be off. */
  void close(int sinks) {
    int closed = sinks & available;
    if ((closed & Sinks.EVENT) != 0) {
      first.setGateInt(0, OverheadLayout.RINGS, 0);
      DirectMemory.closeRings();
      available &= ~Sinks.EVENT;
      isReleasing = true;
    }
    if ((closed & Sinks.COUNT) != 0) {
      first.setGateInt(0, OverheadLayout.HISTOGRAMS, 0);
      DirectMemory.closeHistograms();
      available &= ~Sinks.COUNT;
      isReleasing = true;
    }
  }

  /** Closes all memory, and waits a moment until no thread uses it. */
  void shutDown() {
    close(Sinks.EVENT | Sinks.COUNT);
    stacks.close();
    isReleasing = true;
    for (int i = 0; i < RELEASE_ATTEMPTS && isReleasing; i++) {
      if (i > 0) {
        sleepShortly();
      }
      release();
    }
  }

  private static void sleepShortly() {
    try {
      Thread.sleep(1);
    } catch (InterruptedException e) {
      // The next attempt comes sooner.
    }
  }

  /** Gives back closed memory that no thread uses any more. Must be called at each poll. */
  void release() {
    if (isReleasing) {
      isReleasing = !DirectMemory.release();
    }
  }

  /** Returns true if memory is to be given back at the next polls. */
  public boolean isReleasing() {
    return isReleasing;
  }

  /** Returns the number of an unused histogram plus 1; 0 if there is none. */
  int nextHistogram() {
    int capacity = DirectMemory.histogramCapacity();
    if (histograms < capacity) {
      return ++histograms;
    }
    if (!isFull) {
      isFull = true;
      unreported =
          "cannot count the calls of more than "
              + capacity
              + " probes in histograms; the other probes fail";
    }
    return 0;
  }

  /** Returns true if {@link #open} should be called again after a failure. */
  boolean isRetryDue() {
    return problem != null && System.nanoTime() - retryAt >= 0;
  }

  /** Returns why some probes have no memory; null if they have, or need none. */
  public StubException problem() {
    return problem;
  }

  /** Returns a sentence about a failure that was not reported yet; null if there is none. */
  public String takeUnreported() {
    String taken = unreported;
    unreported = null;
    return taken != null ? taken : stacks.takeUnreported();
  }
}
