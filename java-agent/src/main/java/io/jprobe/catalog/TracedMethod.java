// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.Captures;
import io.jprobe.capture.ProbeKind;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.stapsdt.ArgumentType;
import io.jprobe.stapsdt.ProbeDefinition;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;

/** A selected method and the place of its probes in its stub library. */
public final class TracedMethod {
  public final String name;
  public final String descriptor;

  /** What the probes pass, and when. */
  public final Captures captures;

  final String probeName;

  /** Index of the method in its stub library, and of its gate. */
  final int index;

  private final int firstSlot;
  private final List<ProbeKind> kinds;
  private final boolean isStatic;

  TracedMethod(MethodFacts facts, Captures captures, String probeName, int index, int firstSlot) {
    this.name = facts.name;
    this.descriptor = facts.descriptor;
    this.isStatic = facts.isStatic();
    this.captures = captures;
    this.probeName = probeName;
    this.index = index;
    this.firstSlot = firstSlot;
    this.kinds = List.copyOf(captures.kinds());
  }

  /** The probes that the method has, in slot order. */
  public List<ProbeKind> kinds() {
    return kinds;
  }

  /** For one of {@link #kinds}. */
  int slot(ProbeKind kind) {
    return firstSlot + kinds.indexOf(kind);
  }

  public boolean isConstructor() {
    return name.equals("<init>");
  }

  public boolean isStatic() {
    return isStatic;
  }

  /** The probes as notes describe them, in slot order. */
  List<ProbeDefinition> definitions(String provider) {
    List<ProbeDefinition> definitions = new ArrayList<>();
    for (ProbeKind kind : kinds) {
      List<ArgumentType> words = words(kind);
      // Tracers read twelve of them. The last, the thread's id, is known to the collector.
      definitions.add(
          new ProbeDefinition(
              provider,
              probeName + "__" + kind.suffix,
              words.subList(0, Math.min(words.size(), ProbeDefinition.MAX_ARGUMENTS))));
    }
    return definitions;
  }

  /** All that the stub passes: for ends of calls the duration, the values, the thread's id. */
  private List<ArgumentType> words(ProbeKind kind) {
    List<ArgumentType> words = new ArrayList<>();
    if (kind != ProbeKind.ENTRY) {
      words.add(ArgumentType.INT64);
    }
    for (CapturedValue value : captures.values(kind)) {
      words.add(value.type.argumentType);
    }
    if (kind == ProbeKind.RETURN && captures.values(kind).isEmpty()) {
      words.add(ArgumentType.INT64);
    }
    words.add(ArgumentType.INT64);
    return words;
  }

  /** Every probe that the method has. */
  EnumSet<ProbeKind> all() {
    return EnumSet.copyOf(kinds);
  }

  @Override
  public String toString() {
    return name + descriptor;
  }
}
