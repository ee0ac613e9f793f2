// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.StubLibrary;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The methods whose probes share one stub library, and what its semaphores said last. */
final class Generation {
  final int number;
  private final StubLibrary library;
  private final Map<TracedClass, List<TracedMethod>> contents;
  private final List<TracedMethod> methods = new ArrayList<>();
  private final List<TracedClass> classBySlot = new ArrayList<>();
  private final ByteBuffer semaphores;
  private final ByteBuffer last;
  private volatile boolean wasArmed;

  /**
   * @param contents in slot order
   */
  Generation(int number, StubLibrary library, Map<TracedClass, List<TracedMethod>> contents) {
    this.number = number;
    this.library = library;
    this.contents = contents;
    this.semaphores = library.semaphores();
    this.last = ByteBuffer.allocate(semaphores.capacity()).order(ByteOrder.nativeOrder());
    contents.forEach(
        (traced, placed) -> {
          for (TracedMethod method : placed) {
            method.place(this, methods.size(), classBySlot.size());
            methods.add(method);
            method.kinds().forEach(kind -> classBySlot.add(traced));
          }
        });
  }

  /**
   * The classes with a semaphore that has risen from 0 or fallen to it since the last call. Costs
   * one vectorised comparison where nothing has changed.
   */
  Set<TracedClass> changed() {
    int difference = semaphores.mismatch(last);
    if (difference < 0) {
      return Set.of();
    }
    Set<TracedClass> changed = new LinkedHashSet<>();
    for (int slot = difference / Short.BYTES; slot < classBySlot.size(); slot++) {
      short now = semaphores.getShort(slot * Short.BYTES);
      short before = last.getShort(slot * Short.BYTES);
      last.putShort(slot * Short.BYTES, now);
      if ((now == 0) != (before == 0)) {
        changed.add(classBySlot.get(slot));
      }
    }
    return changed;
  }

  /** The method of that index, with its class; null if there is none or it is retired. */
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

  long gateWord(int index, int word) {
    return library.gateWord(index, word);
  }

  void setGateWord(int index, int word, long value) {
    library.setGateWord(index, word, value);
  }

  long gate(int index) {
    return library.gate(index);
  }

  long stub(int slot) {
    return library.stub(slot);
  }

  /** Whether somebody listened to the probe when {@link #changed} was called last. */
  boolean isRaised(int slot) {
    return last.getShort(slot * Short.BYTES) != 0;
  }

  void setState(int slot, ProbeState state) {
    library.setState(slot, state.number);
  }

  /** From now on there may be calls of woven methods under way, which will come to a stub. */
  void arm() {
    wasArmed = true;
  }

  /** Says of classes that are gone that their probes will never fire again. */
  void retireGone() {
    contents.forEach(
        (traced, placed) -> {
          if (traced.isGone()) {
            placed.stream().filter(method -> !method.isRetired()).forEach(TracedMethod::retire);
          }
        });
  }

  /** Whether all classes that have probes here are gone: then nothing can call a stub. */
  boolean isGone() {
    return !contents.isEmpty() && contents.keySet().stream().allMatch(TracedClass::isGone);
  }

  Set<TracedClass> classes() {
    return contents.keySet();
  }

  /** Unmaps the library. Nothing may call a stub or ask for a gate any more. */
  void unload() {
    library.unload();
  }

  /**
   * Takes the library away from tracers. Where a stub was ever woven into a method, calls that
   * began then may still be under way and come to it: its memory stays.
   */
  void close() {
    if (wasArmed) {
      library.retire();
    } else {
      library.unload();
    }
  }
}
