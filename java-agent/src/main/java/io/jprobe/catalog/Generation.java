// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.layout.SlotLayout;
import io.jprobe.stub.StubLibrary;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The methods whose probes share one stub library, and the last values of its semaphores. */
final class Generation {
  final int number;
  private final StubLibrary library;
  private final Map<TracedClass, List<TracedMethod>> contents;
  private final List<TracedMethod> methods = new ArrayList<>();
  private final List<TracedClass> classBySlot = new ArrayList<>();
  private final ByteBuffer semaphores;
  private final ByteBuffer last;
  private final Set<Integer> untraceableLoaders;
  private volatile boolean wasArmed;

  /**
   * @param contents in slot order
   * @param untraceableLoaders numbers of the loaders of the untraceable methods that it lists
   */
  Generation(
      int number,
      StubLibrary library,
      Map<TracedClass, List<TracedMethod>> contents,
      Set<Integer> untraceableLoaders) {
    this.number = number;
    this.library = library;
    this.contents = contents;
    this.untraceableLoaders = untraceableLoaders;
    this.semaphores = library.semaphores();
    this.last = ByteBuffer.allocate(semaphores.capacity()).order(ByteOrder.nativeOrder());
    contents.forEach(
        (traced, published) -> {
          for (TracedMethod method : published) {
            method.publishedIn(this, methods.size(), classBySlot.size());
            methods.add(method);
            method.kinds().forEach(kind -> classBySlot.add(traced));
          }
        });
  }

  /**
   * Polls the semaphores. Returns the classes with a semaphore that has changed from 0 or to 0
   * since the last call. Costs one vectorized comparison if nothing has changed.
   */
  Set<TracedClass> poll() {
    int difference = semaphores.mismatch(last);
    if (difference < 0) {
      return Set.of();
    }
    Set<TracedClass> changed = new LinkedHashSet<>();
    for (int slot = difference / SlotLayout.SEMAPHORE_BYTES; slot < classBySlot.size(); slot++) {
      short now = semaphores.getShort(slot * SlotLayout.SEMAPHORE_BYTES);
      short before = last.getShort(slot * SlotLayout.SEMAPHORE_BYTES);
      last.putShort(slot * SlotLayout.SEMAPHORE_BYTES, now);
      if ((now == 0) != (before == 0)) {
        changed.add(classBySlot.get(slot));
      }
    }
    return changed;
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

  /** Returns true if the semaphore was above 0 at the last poll. */
  boolean isRaised(int slot) {
    return last.getShort(slot * SlotLayout.SEMAPHORE_BYTES) != 0;
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
