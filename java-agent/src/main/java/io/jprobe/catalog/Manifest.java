// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.ValueType;
import io.jprobe.layout.ProbeKindLayout;
import io.jprobe.layout.StubLibraryLayout;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import io.jprobe.stub.ProtoWriter;

/** Writes a jprobe.v1.Manifest; the field numbers are those of proto/jprobe/v1/manifest.proto. */
public final class Manifest {
  /**
   * Sizes at which a library is full. Collectors read larger ones (MAX_MANIFEST_BYTES and
   * MAX_PROBES in collector/jcollect/limits.py), because the last method may exceed them.
   */
  private static final int FULL_BYTES = 8 << 20;

  private static final int FULL_PROBES = 80_000;

  private final ProtoWriter manifest = new ProtoWriter();
  private final Selectors selectors;
  private final int headerBytes;
  private final int firstProbe;
  private int methods;
  private int probes;

  /**
   * @param firstProbe number of the first probe among all of the catalog
   */
  Manifest(
      String agentVersion, int generation, int firstProbe, Selectors selectors, String refusal) {
    this.selectors = selectors;
    this.firstProbe = firstProbe;
    manifest.number(1, StubLibraryLayout.VERSION).text(2, agentVersion).number(3, generation);
    manifest.number(9, firstProbe);
    for (Selector selector : selectors.each()) {
      manifest.text(4, selector.toString());
    }
    manifest.textIfAny(8, refusal);
    headerBytes = manifest.size();
  }

  /** Returns true if the next method belongs in another library. */
  boolean isFull() {
    return manifest.size() - headerBytes >= FULL_BYTES || probes >= FULL_PROBES;
  }

  int firstProbe() {
    return firstProbe;
  }

  /** Returns the number of the first probe of the next library. */
  int nextProbe() {
    return firstProbe + probes;
  }

  /** Adds the {@link LimitProbes}, as slots of a pseudo-method. */
  void addLimits() {
    manifest.message(
        5, new ProtoWriter().text(1, LimitProbes.PROVIDER).text(3, LimitProbes.METHOD));
    for (int slot = 0; slot < LimitProbes.count(); slot++) {
      int percent = LimitProbes.percent(slot);
      manifest.message(
          6,
          new ProtoWriter().number(1, methods).number(2, ProbeKindLayout.LIMIT).number(4, percent));
      probes++;
    }
    methods++;
  }

  /** Adds the {@link MountProbes}, which must follow the {@link LimitProbes}. */
  void addMounts() {
    for (String name : MountProbes.NAMES) {
      manifest.message(5, new ProtoWriter().text(1, LimitProbes.PROVIDER).text(3, name));
      manifest.message(6, new ProtoWriter().number(1, methods).number(2, ProbeKindLayout.MARK));
      methods++;
      probes++;
    }
  }

  /** Returns the number of methods so far, which is that of gates. */
  int methods() {
    return methods;
  }

  void add(TracedClass traced, TracedMethod method) {
    manifest.message(
        5,
        describe(traced, method)
            .number(6, Math.max(selectors.each().indexOf(method.selector()), 0)));
    for (ProbeKind kind : method.kinds()) {
      manifest.message(6, slot(method, kind));
      probes++;
    }
    methods++;
  }

  /** Returns a jprobe.v1.TracedMethod. */
  public static ProtoWriter describe(TracedClass traced, TracedMethod method) {
    ProtoWriter described =
        new ProtoWriter()
            .text(1, traced.className())
            .number(2, traced.loaderId)
            .text(3, method.name)
            .text(4, method.descriptor)
            .textIfAny(5, method.captures.conditionText);
    method.selectedBy().forEach(match -> described.number(7, match.owner));
    return described;
  }

  private ProtoWriter slot(TracedMethod method, ProbeKind kind) {
    ProtoWriter slot = new ProtoWriter().number(1, methods).number(2, kind.number);
    for (CapturedValue value : method.captures.values(kind)) {
      slot.message(3, value(value));
    }
    return slot;
  }

  private static ProtoWriter value(CapturedValue value) {
    return new ProtoWriter()
        .text(1, value.name)
        .text(2, value.javaType.getClassName())
        .number(3, value.type.number)
        .textIfAny(4, value.isAskedFor ? value.path.toString() : "")
        .number(5, value.type == ValueType.REFERENCE ? 1 : 0);
  }

  void add(Untraceable one) {
    int number = 0;
    for (int i = 0; i < selectors.each().size() && number == 0; i++) {
      number = selectors.each().get(i).toString().equals(one.selector) ? i + 1 : 0;
    }
    manifest.message(7, describe(one).number(6, number));
  }

  /** Returns a jprobe.v1.Untraceable. */
  public static ProtoWriter describe(Untraceable one) {
    return new ProtoWriter()
        .text(1, one.className)
        .number(2, one.loaderId)
        .textIfAny(3, one.method)
        .textIfAny(4, one.descriptor)
        .text(5, one.reason);
  }

  byte[] toByteArray() {
    return manifest.toByteArray();
  }
}
