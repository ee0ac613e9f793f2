// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;
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
  private boolean isRetired;

  Generation(StubLibrary library, List<TracedClass> classes) {
    this.library = library;
    this.classes = List.copyOf(classes);
    this.semaphores = library.semaphores();
    this.last = ByteBuffer.allocate(semaphores.capacity()).order(ByteOrder.nativeOrder());
    for (TracedClass traced : classes) {
      traced.place(this);
      for (TracedMethod method : traced.methods) {
        method.kinds().forEach(kind -> classBySlot.add(traced));
        setGate(method);
      }
    }
  }

  /**
   * From here on, the numbers are the gate's: they may be changed, and the method be woven or not.
   */
  private void setGate(TracedMethod method) {
    setGateWord(method, Gate.LEAST_DURATION, method.captures.leastDuration);
    setGateWord(method, Gate.EVERY, method.captures.every);
    setGateWord(method, Gate.LIMIT, Math.min(method.captures.perSecond, Gate.MAX_LIMIT));
  }

  /**
   * The classes with a semaphore that has risen from 0 or fallen to it since the last call. Costs
   * one vectorised comparison where nothing has changed.
   */
  Set<TracedClass> changed() {
    Set<TracedClass> changed = new LinkedHashSet<>();
    if (isRetired) {
      return changed;
    }
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

  long gateWord(TracedMethod method, int word) {
    return library.gateWord(method.index, word);
  }

  void setGateWord(TracedMethod method, int word, long value) {
    library.setGateWord(method.index, word, value);
  }

  long gate(TracedMethod method) {
    return library.gate(method.index);
  }

  long stub(TracedMethod method, ProbeKind kind) {
    return library.stub(method.slot(kind));
  }

  /** Whether somebody listened to the probe when {@link #changed} was called last. */
  boolean isRaised(TracedMethod method, ProbeKind kind) {
    return !isRetired && last.getShort(method.slot(kind) * Short.BYTES) != 0;
  }

  void setState(TracedMethod method, ProbeKind kind, ProbeState state) {
    library.setState(method.slot(kind), isRetired ? ProbeState.RETIRED.number : state.number);
  }

  /**
   * Says that none of the probes will ever fire again.
   *
   * @return the classes that are woven and have to be restored
   */
  Set<TracedClass> retire() {
    isRetired = true;
    Set<TracedClass> woven = new LinkedHashSet<>();
    for (TracedClass traced : classes) {
      retire(traced);
      if (!traced.armed().isEmpty()) {
        woven.add(traced);
      }
    }
    return woven;
  }

  private void retire(TracedClass traced) {
    for (TracedMethod method : traced.methods) {
      method.kinds().forEach(kind -> setState(method, kind, ProbeState.RETIRED));
    }
  }

  /** Says that the probes of classes that are gone will never fire again. */
  void retireGone() {
    for (TracedClass traced : classes) {
      if (traced.isGone()) {
        retire(traced);
      }
    }
  }
}
