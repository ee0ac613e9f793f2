// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.StubException;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * The probes that clients of the gateway request through shared memory for as long as they are
 * connected: for collectors that have no right to raise semaphores. For the watcher thread only;
 * the next poll applies a change.
 */
public final class DirectLeases {
  /** Maximum number of probes in a list, those of overlapping ranges counted several times. */
  private static final int MAX_SLOTS = 4_000_000;

  private static final class Lease {
    final List<SlotRange> events;
    final List<SlotRange> counts;

    Lease(List<SlotRange> events, List<SlotRange> counts) {
      this.events = events;
      this.counts = counts;
    }
  }

  private final Generations generations;
  private final Map<Object, Lease> leases = new IdentityHashMap<>();

  DirectLeases(Generations generations) {
    this.generations = generations;
  }

  /**
   * Replaces what a client leases. Nothing changes if one of the ranges is wrong.
   *
   * @param events probes whose calls the client wants as records: "generation:first-last,…"
   * @param counts probes whose calls it wants counted in histograms
   */
  public void lease(Object client, String events, String counts) throws StubException {
    Lease lease = new Lease(SlotRange.parse(events), SlotRange.parse(counts));
    check(lease.events);
    check(lease.counts);
    if (lease.events.isEmpty() && lease.counts.isEmpty()) {
      leases.remove(client);
    } else {
      leases.put(client, lease);
    }
    apply();
  }

  /** Ends what a client leases. Returns true if it has leased probes. */
  public boolean end(Object client) {
    boolean hadSome = leases.remove(client) != null;
    if (hadSome) {
      apply();
    }
    return hadSome;
  }

  private void check(List<SlotRange> ranges) throws StubException {
    long slots = 0;
    for (SlotRange range : ranges) {
      Generation generation = generations.find(range.generation);
      if (generation == null) {
        throw new StubException(
            "cannot lease probes "
                + range
                + ": there is no stub library "
                + range.generation
                + ", or not any more; read the stub libraries again and retry");
      }
      if (range.last >= generation.probes()) {
        throw new StubException(
            "cannot lease probes "
                + range
                + ": stub library "
                + range.generation
                + " has "
                + generation.probes()
                + " probes that can be leased");
      }
      slots += range.last - range.first + 1;
    }
    if (slots > MAX_SLOTS) {
      throw new StubException(
          "cannot lease " + slots + " probes; at most " + MAX_SLOTS + " can be leased at once");
    }
  }

  private void apply() {
    for (Generation generation : generations.all()) {
      generation.clearLeases();
    }
    for (Lease lease : leases.values()) {
      apply(lease.events, Sinks.EVENT);
      apply(lease.counts, Sinks.COUNT);
    }
  }

  private void apply(List<SlotRange> ranges, int sink) {
    for (SlotRange range : ranges) {
      Generation generation = generations.find(range.generation);
      // Null if its classes were unloaded.
      if (generation != null) {
        generation.lease(range, sink);
      }
    }
  }
}
