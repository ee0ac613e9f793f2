// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.Captures;
import io.jprobe.capture.ProbeKind;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.Selector;
import io.jprobe.stub.ArgumentSize;
import io.jprobe.stub.ProbeDefinition;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A selected method, and the place of its probes: the stub library in which it was published. It is
 * retired when it is selected no longer, and may come back.
 */
public final class TracedMethod {
  public final String name;
  public final String descriptor;

  /** What the probes pass, and when. */
  public final Captures captures;

  final String probeName;

  private final List<ProbeKind> kinds;
  private final boolean isStatic;

  // Set when it is published, before others see it.
  private Generation generation;
  private int index;
  private int firstSlot;

  // Of the watcher's thread.
  private Selector selector;
  private boolean isRetired;
  private boolean isThrottled;

  /** The probes with which the JVM has refused the class, and what it said. */
  private volatile Map.Entry<Set<ProbeKind>, String> refused;

  TracedMethod(MethodFacts facts, Captures captures, String probeName, Selector selector) {
    this.name = facts.name;
    this.descriptor = facts.descriptor;
    this.isStatic = facts.isStatic();
    this.captures = captures;
    this.probeName = probeName;
    this.selector = selector;
    this.kinds = List.copyOf(captures.kinds());
  }

  void place(Generation generation, int index, int firstSlot) {
    this.generation = generation;
    this.index = index;
    this.firstSlot = firstSlot;
    kinds.forEach(kind -> setGateWord(Gate.probe(kind), generation.stub(slot(kind))));
    resetGate();
  }

  /** The probes that the method has, in slot order. */
  public List<ProbeKind> kinds() {
    return kinds;
  }

  public boolean isConstructor() {
    return name.equals("<init>");
  }

  public boolean isStatic() {
    return isStatic;
  }

  /** The one that has decided what is captured. */
  public Selector selector() {
    return selector;
  }

  /** Of another selector, or the same, that wants the same. */
  void takeOver(TracedMethod wanted) {
    selector = wanted.selector;
  }

  /** Whether the other describes the same method with the same wishes. */
  boolean isLike(TracedMethod other) {
    return name.equals(other.name)
        && descriptor.equals(other.descriptor)
        && selector.wishes().equals(other.selector.wishes());
  }

  /** The name of the method in control commands: "generation:index". */
  public String place() {
    return generation.number + ":" + index;
  }

  int index() {
    return index;
  }

  Generation generation() {
    return generation;
  }

  /** The address of the probe in the gate, which woven code fires. */
  public long probe(ProbeKind kind) {
    return gate() + Long.BYTES * Gate.probe(kind);
  }

  /** The address of the gate, which woven code asks whether a call fires. */
  public long gate() {
    return generation.gate(index);
  }

  /** A word of the gate; see {@link Gate}. */
  public long gateWord(int word) {
    return generation.gateWord(index, word);
  }

  /** Changes what the gate lets pass, from the next call on, whether the method is woven or not. */
  public void setGateWord(int word, long value) {
    generation.setGateWord(index, word, value);
  }

  /** What the gate begins with. From then on the numbers are the gate's, and may be changed. */
  public long selectedGateWord(int word) {
    switch (word) {
      case Gate.LEAST_DURATION:
        return captures.leastDuration;
      case Gate.EVERY:
        return captures.every;
      case Gate.LIMIT:
        return Math.min(captures.perSecond, Gate.MAX_LIMIT);
      default:
        throw new IllegalArgumentException("word " + word);
    }
  }

  private void resetGate() {
    for (int word = Gate.LEAST_DURATION; word <= Gate.LIMIT; word++) {
      setGateWord(word, selectedGateWord(word));
    }
  }

  /** Publishes what has become of a probe. */
  public void setState(ProbeKind kind, ProbeState state) {
    generation.setState(slot(kind), isRetired ? ProbeState.RETIRED : state);
  }

  public boolean isRetired() {
    return isRetired;
  }

  /** Says that the probes will not fire. */
  void retire() {
    isRetired = true;
    isThrottled = false;
    kinds.forEach(kind -> setState(kind, ProbeState.RETIRED));
  }

  /** Makes it again what it was when it was published. */
  void revive() {
    isRetired = false;
    resetGate();
    kinds.forEach(kind -> setState(kind, ProbeState.DORMANT));
  }

  /** The probes that are to be woven: those listened to, unless the method is throttled. */
  EnumSet<ProbeKind> raised() {
    return isThrottled ? EnumSet.noneOf(ProbeKind.class) : listenedTo();
  }

  /** The probes that somebody listened to at the watcher's last look. */
  EnumSet<ProbeKind> listenedTo() {
    EnumSet<ProbeKind> listenedTo = EnumSet.noneOf(ProbeKind.class);
    for (ProbeKind kind : kinds) {
      if (isListenedTo(kind)) {
        listenedTo.add(kind);
      }
    }
    return listenedTo;
  }

  private boolean isListenedTo(ProbeKind kind) {
    return !isRetired && generation.isRaised(slot(kind));
  }

  /** Keeps the method from being woven, whoever listens, or no longer. */
  void setThrottled(boolean throttled) {
    isThrottled = throttled;
  }

  boolean isThrottled() {
    return isThrottled;
  }

  /** The state of a probe that is not woven, and need not be. */
  public ProbeState restingState(ProbeKind kind) {
    return isThrottled && isListenedTo(kind) ? ProbeState.THROTTLED : ProbeState.DORMANT;
  }

  /** Keeps the method from being woven with these probes, or these and others. */
  public void refuse(Set<ProbeKind> kinds, String reason) {
    refused = Map.entry(Set.copyOf(kinds), reason);
  }

  /** Why it is not to be woven with these probes; null if it is. */
  public String refusal(Set<ProbeKind> kinds) {
    Map.Entry<Set<ProbeKind>, String> known = refused;
    return known != null && kinds.containsAll(known.getKey()) ? known.getValue() : null;
  }

  int slot(ProbeKind kind) {
    return firstSlot + kinds.indexOf(kind);
  }

  /** The probes as notes describe them, in slot order. */
  List<ProbeDefinition> definitions(String provider) {
    List<ProbeDefinition> definitions = new ArrayList<>();
    for (ProbeKind kind : kinds) {
      List<ArgumentSize> words = words(kind);
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
  private List<ArgumentSize> words(ProbeKind kind) {
    List<ArgumentSize> words = new ArrayList<>();
    if (kind != ProbeKind.ENTRY) {
      words.add(ArgumentSize.INT64);
    }
    for (CapturedValue value : captures.values(kind)) {
      words.add(value.type.argumentSize);
    }
    if (kind == ProbeKind.RETURN && captures.values(kind).isEmpty()) {
      words.add(ArgumentSize.INT64);
    }
    words.add(ArgumentSize.INT64);
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
