// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.layout.SlotLayout;
import io.jprobe.stub.ArgumentSize;
import io.jprobe.stub.MountEvents;
import io.jprobe.stub.ProbeDefinition;
import io.jprobe.stub.StubLibrary;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.stream.Collectors;

/**
 * The probes that fire when a virtual thread is mounted on a carrier and unmounted from it, in the
 * carrier, with the virtual thread's ID. They are in the library of the {@link LimitProbes}, after
 * those, if the JVM has virtual threads. The JVM reports mounts only while a tracer is attached.
 */
final class MountProbes {
  static final List<String> NAMES = List.of("virtual__mount", "virtual__unmount");

  private final StubLibrary library;
  private final ByteBuffer semaphores;
  private boolean isOn;

  /**
   * @param library the one that has the probes
   */
  MountProbes(StubLibrary library) {
    this.library = library;
    this.semaphores = library.semaphores();
    setState(ProbeState.ARMED);
  }

  /** Returns true if this JVM has virtual threads. */
  static boolean exist() {
    return MountEvents.exist();
  }

  /** Returns the probes as notes describe them, in slot order. */
  static List<ProbeDefinition> definitions() {
    return NAMES.stream()
        .map(name -> new ProbeDefinition(LimitProbes.PROVIDER, name, List.of(ArgumentSize.INT64)))
        .collect(Collectors.toList());
  }

  /** Polls the semaphores, and turns the JVM's reports on or off. */
  void poll() {
    boolean isWanted = isRaised(0) || isRaised(1);
    if (isWanted == isOn) {
      return;
    }
    isOn = isWanted;
    boolean isDone = MountEvents.report(library.stub(slot(0)), library.stub(slot(1)), isWanted);
    setState(isDone ? ProbeState.ARMED : ProbeState.FAILED);
  }

  /** Turns the reports off. The stubs must stay mapped: threads may be about to call them. */
  void close() {
    if (isOn) {
      isOn = false;
      MountEvents.report(0, 0, false);
    }
  }

  private boolean isRaised(int number) {
    return semaphores.getShort(slot(number) * SlotLayout.SEMAPHORE_BYTES) != 0;
  }

  private void setState(ProbeState state) {
    for (int i = 0; i < NAMES.size(); i++) {
      library.setState(slot(i), state.number);
    }
  }

  private static int slot(int number) {
    return LimitProbes.count() + number;
  }
}
