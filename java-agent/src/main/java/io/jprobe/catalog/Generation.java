// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stapsdt.StubLibrary;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** The classes whose probes share one stub library, and what its semaphores said last. */
final class Generation {
  private final StubLibrary library;
  private final List<TracedClass> classBySlot = new ArrayList<>();
  private final List<TracedClass> classes;
  private final ByteBuffer semaphores;
  private final ByteBuffer last;

  Generation(StubLibrary library, List<TracedClass> classes) {
    this.library = library;
    this.classes = List.copyOf(classes);
    this.semaphores = library.semaphores();
    this.last = ByteBuffer.allocate(semaphores.capacity()).order(ByteOrder.nativeOrder());
    for (TracedClass traced : classes) {
      traced.place(this);
      for (int i = 0; i < ProbeKind.COUNT * traced.methods.size(); i++) {
        classBySlot.add(traced);
      }
    }
  }

  /**
   * The classes with a semaphore that has risen from 0 or fallen to it since the last call. Costs
   * one vectorised comparison where nothing has changed.
   */
  Set<TracedClass> changed() {
    Set<TracedClass> changed = new LinkedHashSet<>();
    int difference = semaphores.mismatch(last);
    if (difference < 0) {
      return changed;
    }
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

  long stub(TracedMethod method, ProbeKind kind) {
    return library.stub(method.slot(kind));
  }

  /** Whether somebody listened to the probe when {@link #changed} was called last. */
  boolean isRaised(TracedMethod method, ProbeKind kind) {
    return last.getShort(method.slot(kind) * Short.BYTES) != 0;
  }

  void setState(TracedMethod method, ProbeKind kind, ProbeState state) {
    library.setState(method.slot(kind), state.number);
  }

  /** Says that the probes of classes that are gone will never fire again. */
  void retireGone() {
    for (TracedClass traced : classes) {
      if (traced.isGone()) {
        for (TracedMethod method : traced.methods) {
          for (ProbeKind kind : ProbeKind.values()) {
            setState(method, kind, ProbeState.RETIRED);
          }
        }
      }
    }
  }
}
