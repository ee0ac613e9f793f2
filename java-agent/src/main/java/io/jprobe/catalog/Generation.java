// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.StubLibrary;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The methods whose probes share one stub library, and the sinks of these probes. */
final class Generation {
  final int number;

  /** Number of the first probe among all of the catalog. */
  final int firstProbe;

  private final StubLibrary library;
  private final Map<TracedClass, List<TracedMethod>> contents;
  private final List<TracedMethod> methods = new ArrayList<>();
  private final List<TracedClass> classBySlot = new ArrayList<>();
  private final List<TracedMethod> methodBySlot = new ArrayList<>();
  private final RequestedSinks requested;

  /** The sinks of each slot that are on. */
  private final byte[] sinks;

  private final BitSet withoutMemory = new BitSet();
  private final Set<Integer> untraceableLoaders;
  private volatile boolean wasArmed;

  /**
   * @param contents in slot order
   * @param untraceableLoaders numbers of the loaders of the untraceable methods that it lists
   */
  Generation(
      int number,
      int firstProbe,
      StubLibrary library,
      Map<TracedClass, List<TracedMethod>> contents,
      Set<Integer> untraceableLoaders) {
    this.number = number;
    this.firstProbe = firstProbe;
    this.library = library;
    this.contents = contents;
    this.untraceableLoaders = untraceableLoaders;
    contents.forEach(
        (traced, published) -> {
          for (TracedMethod method : published) {
            method.publishedIn(this, methods.size(), classBySlot.size());
            methods.add(method);
            for (int i = 0; i < method.kinds().size(); i++) {
              classBySlot.add(traced);
              methodBySlot.add(method);
            }
          }
        });
    this.requested = new RequestedSinks(library, methodBySlot);
    this.sinks = new byte[methodBySlot.size()];
  }

  /** Polls the semaphores. Returns true if {@link #apply} must follow. */
  boolean poll() {
    return requested.poll();
  }

  /** Returns the sinks that were requested of any probe at the last poll. */
  int requestedSinks() {
    return requested.union();
  }

  /** Returns the number of probes. */
  int probes() {
    return sinks.length;
  }

  /** Ends all leases. {@link #lease} must follow for those that go on. */
  void clearLeases() {
    requested.clearLeases();
  }

  /** Requests a sink of some probes until {@link #clearLeases}. */
  void lease(SlotRange range, int sink) {
    requested.lease(range.first, range.last, sink);
  }

  /**
   * Turns the requested sinks on, as far as they have memory, and the others off. That applies from
   * the next call of a woven method on. Returns the classes with probes that have to be woven now
   * or have not to be any more, or whose state has changed.
   */
  Set<TracedClass> apply(DirectLane direct) {
    Set<TracedClass> changed = new LinkedHashSet<>();
    for (int slot = 0; slot < sinks.length; slot++) {
      int next = availableSinks(slot, direct);
      boolean hasNoMemory = next == 0 && requested.of(slot) != 0;
      if (next != sinks[slot]) {
        methodBySlot.get(slot).setSinks(slot, next);
      }
      if ((next == 0) != (sinks[slot] == 0) || hasNoMemory != withoutMemory.get(slot)) {
        changed.add(classBySlot.get(slot));
      }
      sinks[slot] = (byte) next;
      withoutMemory.set(slot, hasNoMemory);
    }
    return changed;
  }

  private int availableSinks(int slot, DirectLane direct) {
    int available = requested.of(slot) & direct.available();
    if ((available & Sinks.COUNT) != 0 && methodBySlot.get(slot).histogram(slot) == 0) {
      int histogram = direct.nextHistogram();
      methodBySlot.get(slot).setHistogram(slot, histogram);
      return histogram == 0 ? available & ~Sinks.COUNT : available;
    }
    return available;
  }

  /** Turns some sinks of all probes off. */
  void turnOff(int some) {
    for (int slot = 0; slot < sinks.length; slot++) {
      if ((sinks[slot] & some) != 0) {
        sinks[slot] &= (byte) ~some;
        methodBySlot.get(slot).setSinks(slot, sinks[slot]);
      }
    }
  }

  /** Takes the histograms from all probes. Their sinks must be off. */
  void resetHistograms() {
    for (int slot = 0; slot < sinks.length; slot++) {
      if (methodBySlot.get(slot).histogram(slot) != 0) {
        methodBySlot.get(slot).setHistogram(slot, 0);
      }
    }
  }

  /** Returns the method of this index with its class; null if there is none or it is retired. */
  Map.Entry<TracedClass, TracedMethod> find(int index) {
    if (index < 0 || index >= methods.size() || methods.get(index).isRetired()) {
      return null;
    }
    TracedMethod method = methods.get(index);
    for (Map.Entry<TracedClass, List<TracedMethod>> each : contents.entrySet()) {
      if (each.getValue().contains(method)) {
        return Map.entry(each.getKey(), method);
      }
    }
    return null;
  }

  long gateWord(int index, int offset) {
    return library.gateWord(index, offset);
  }

  void setGateWord(int index, int offset, long value) {
    library.setGateWord(index, offset, value);
  }

  long gate(int index) {
    return library.gate(index);
  }

  long stub(int slot) {
    return library.stub(slot);
  }

  int gateInt(int index, int offset) {
    return library.gateInt(index, offset);
  }

  void setGateInt(int index, int offset, int value) {
    library.setGateInt(index, offset, value);
  }

  /** Returns true if a tracer was attached at the last poll, and the probe has a sink. */
  boolean isRaised(int slot) {
    return sinks[slot] != 0;
  }

  /** Returns true if a tracer was attached at the last poll, and there is no memory for it. */
  boolean isWithoutMemory(int slot) {
    return withoutMemory.get(slot);
  }

  void setState(int slot, ProbeState state) {
    library.setState(slot, state.number);
  }

  /** Records that calls of woven methods may be running, which will reach a stub. */
  void markArmed() {
    wasArmed = true;
  }

  /** Retires the methods of unloaded classes. */
  void retireUnloaded() {
    contents.forEach(
        (traced, published) -> {
          if (traced.isUnloaded()) {
            published.stream().filter(method -> !method.isRetired()).forEach(TracedMethod::retire);
          }
        });
  }

  /**
   * Returns true if all classes with probes here are unloaded: then no code can call a stub. A
   * library that only lists untraceable methods is unused once their loaders are collected.
   *
   * @param loaders numbers of the loaders that exist
   */
  boolean isUnused(Set<Integer> loaders) {
    if (contents.isEmpty()) {
      return !untraceableLoaders.isEmpty() && Collections.disjoint(untraceableLoaders, loaders);
    }
    return contents.keySet().stream().allMatch(TracedClass::isUnloaded);
  }

  Set<TracedClass> classes() {
    return contents.keySet();
  }

  /** Unmaps the library. No code may call a stub or use a gate any more. */
  void unload() {
    library.unload();
  }

  /**
   * Takes the library away from tracers. If a probe was ever armed, the memory stays mapped: calls
   * that began in a woven method may still be running and reach a stub.
   */
  void close() {
    if (wasArmed) {
      library.retire();
    } else {
      library.unload();
    }
  }
}
