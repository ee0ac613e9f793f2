// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.Captures;
import io.jprobe.capture.ProbeKind;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.Match;
import io.jprobe.select.Selector;
import io.jprobe.stub.ArgumentSize;
import io.jprobe.stub.ProbeDefinition;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A selected method with one set of probes, and the location of these probes: the stub library in
 * which they were published. It is retired when no owner selects it so any more, and revived when
 * one does again. If owners select a method differently, each of these selections is a traced
 * method with its own gate and its own life.
 */
public final class TracedMethod {
  public final String name;
  public final String descriptor;

  /** The values that the probes pass, and the conditions under which they fire. */
  public final Captures captures;

  private final String baseName;
  private final List<ProbeKind> kinds;
  private final int probes;
  private final boolean isStatic;

  // Set before other threads see the method.
  private int number;
  private Generation generation;
  private int index;
  private int firstSlot;

  // Used by the watcher thread only.
  private List<Match> selectedBy;
  private boolean isRetired;
  private boolean isThrottled;

  /** The probes with which the JVM rejected the class, and its error. */
  private volatile Map.Entry<Set<ProbeKind>, String> rejected;

  /**
   * @param selectedBy the matches of all owners that select these probes, oldest owner first
   */
  TracedMethod(MethodFacts facts, Captures captures, String baseName, List<Match> selectedBy) {
    this.name = facts.name;
    this.descriptor = facts.descriptor;
    this.isStatic = facts.isStatic();
    this.captures = captures;
    this.baseName = baseName;
    this.selectedBy = selectedBy;
    this.kinds = List.copyOf(captures.kinds());
    this.probes = kinds.size();
  }

  /** Returns the number of this set among the method's sets of probes, from 1. */
  int number() {
    return number;
  }

  void setNumber(int number) {
    this.number = number;
  }

  /** Returns the name of the probes without their kind. Tracers distinguish sets by it. */
  String probeName() {
    return number > 1 ? baseName + "__set" + number : baseName;
  }

  /** Sets the location of the probes, and initializes the gate. */
  void publishedIn(Generation generation, int index, int firstSlot) {
    this.generation = generation;
    this.index = index;
    this.firstSlot = firstSlot;
    for (ProbeKind kind : kinds) {
      int slot = slot(kind);
      setGateWord(Gate.stub(kind), generation.stub(slot));
      generation.setGateInt(index, Gate.number(kind), generation.firstProbe + slot);
      generation.setGateInt(index, Gate.strings(kind), strings(kind));
    }
    resetGate();
  }

  /** Returns the mask of the words that are strings. The duration is word 0, except at entry. */
  private int strings(ProbeKind kind) {
    int word = kind == ProbeKind.ENTRY ? 0 : 1;
    int mask = 0;
    for (CapturedValue value : captures.values(kind)) {
      mask |= value.type.isText() ? 1 << word : 0;
      word++;
    }
    return mask;
  }

  /** Returns the kinds of probes that the method has, in slot order. */
  public List<ProbeKind> kinds() {
    return kinds;
  }

  public boolean isConstructor() {
    return name.equals("<init>");
  }

  public boolean isStatic() {
    return isStatic;
  }

  /** Returns the selector that determines the captures: that of the oldest owner. */
  public Selector selector() {
    return selectedBy.get(0).deciding();
  }

  /** Returns the matches of all owners that select these probes, oldest owner first. */
  public List<Match> selectedBy() {
    return selectedBy;
  }

  /** Returns true if one of these selectors determines the captures. */
  public boolean isDecidedBy(Set<Selector> selectors) {
    return selectedBy.stream().anyMatch(match -> selectors.contains(match.deciding()));
  }

  /** Takes the matches of an equivalent method. */
  void adoptMatches(TracedMethod equivalent) {
    selectedBy = equivalent.selectedBy;
  }

  /** Returns true if it is the same method of the class, perhaps with another set of probes. */
  public boolean isSameMethod(TracedMethod other) {
    return name.equals(other.name) && descriptor.equals(other.descriptor);
  }

  /** Returns true for the same method with the same captures and conditions. */
  boolean isEquivalent(TracedMethod other) {
    return isSameMethod(other) && selector().probeText().equals(other.selector().probeText());
  }

  /** Returns the ID of the method in control commands: "generation:index". */
  public String id() {
    return generation.number + ":" + index;
  }

  Generation generation() {
    return generation;
  }

  /** Returns the address of the probe in the gate, which woven code fires. */
  public long probe(ProbeKind kind) {
    return gate() + Gate.probe(kind);
  }

  /** Returns the address of the gate, by which woven code decides whether a call fires. */
  public long gate() {
    return generation.gate(index);
  }

  /** Returns a word of the gate; see {@link Gate}. */
  public long gateWord(int offset) {
    return generation.gateWord(index, offset);
  }

  /** Sets a word of the gate. It applies from the next call on, woven or not. */
  public void setGateWord(int offset, long value) {
    generation.setGateWord(index, offset, value);
  }

  /** Returns the initial value of a word of the gate, which clients may change later. */
  public long selectedGateWord(int offset) {
    switch (offset) {
      case Gate.LEAST_DURATION:
        return captures.leastDuration;
      case Gate.EVERY:
        return captures.every;
      case Gate.LIMIT:
        return Math.min(captures.perSecond, Gate.MAX_LIMIT);
      default:
        throw new IllegalArgumentException("offset " + offset);
    }
  }

  /** Returns the sinks of a probe that are on; see {@link Sinks}. */
  public int sinks(ProbeKind kind) {
    return generation.gateInt(index, Gate.sinks(kind)) & Sinks.ALL;
  }

  /** Sets what happens when the probe of a slot fires, woven or not; see {@link Sinks}. */
  void setSinks(int slot, int sinks) {
    ProbeKind kind = kindAt(slot);
    generation.setGateInt(index, Gate.sinks(kind), sinks | Sinks.properties(kind));
  }

  /** Returns 1 plus the number of a probe's histogram; 0 if it has none. */
  int histogram(int slot) {
    return generation.gateInt(index, Gate.histogram(kindAt(slot)));
  }

  /** Assigns a histogram to the probe of a slot, which must be set before the sink. */
  void setHistogram(int slot, int histogram) {
    generation.setGateInt(index, Gate.histogram(kindAt(slot)), histogram);
  }

  /** Returns the sinks that the probe of a slot can have: entry probes have no duration. */
  int possibleSinks(int slot) {
    return kindAt(slot) == ProbeKind.ENTRY ? Sinks.TRAP | Sinks.EVENT : Sinks.ALL;
  }

  private ProbeKind kindAt(int slot) {
    return kinds.get(slot - firstSlot);
  }

  private void resetGate() {
    for (int offset : Gate.settings()) {
      setGateWord(offset, selectedGateWord(offset));
    }
  }

  /** Publishes the state of a probe. */
  public void setState(ProbeKind kind, ProbeState state) {
    generation.setState(slot(kind), isRetired ? ProbeState.RETIRED : state);
  }

  public boolean isRetired() {
    return isRetired;
  }

  /** Publishes that the probes will not fire any more. */
  void retire() {
    isRetired = true;
    isThrottled = false;
    kinds.forEach(kind -> setState(kind, ProbeState.RETIRED));
  }

  /** Returns a retired method to its state on publication. */
  void revive() {
    isRetired = false;
    resetGate();
    kinds.forEach(kind -> setState(kind, ProbeState.DORMANT));
  }

  /** Returns the probes to weave: the attached ones, or none while the method is throttled. */
  EnumSet<ProbeKind> wanted() {
    return isThrottled ? EnumSet.noneOf(ProbeKind.class) : attached();
  }

  /** Returns the probes that a tracer was attached to at the last poll, and that have a sink. */
  public EnumSet<ProbeKind> attached() {
    EnumSet<ProbeKind> attached = EnumSet.noneOf(ProbeKind.class);
    for (int i = 0; i < kinds.size(); i++) {
      if (isAttached(i)) {
        attached.add(kinds.get(i));
      }
    }
    return attached;
  }

  /** Returns true if a tracer was attached to a probe at the last poll. */
  public boolean isAttached() {
    for (int i = 0; i < probes; i++) {
      if (isAttached(i)) {
        return true;
      }
    }
    return false;
  }

  private boolean isAttached(int indexOfKind) {
    return !isRetired && generation.isRaised(firstSlot + indexOfKind);
  }

  /** Sets whether the method stays unwoven although tracers are attached. */
  public void setThrottled(boolean throttled) {
    isThrottled = throttled;
  }

  public boolean isThrottled() {
    return isThrottled;
  }

  /** Returns the state of a probe that is not woven and need not be. */
  public ProbeState unwovenState(ProbeKind kind) {
    if (isThrottled && isAttached(kinds.indexOf(kind))) {
      return ProbeState.THROTTLED;
    }
    return generation.isWithoutMemory(slot(kind)) ? ProbeState.FAILED : ProbeState.DORMANT;
  }

  /** Excludes the method from weaving with these probes, or with these and others. */
  public void reject(Set<ProbeKind> kinds, String reason) {
    rejected = Map.entry(Set.copyOf(kinds), reason);
  }

  /** Returns why the method must not be woven with these probes; null if it may. */
  public String rejection(Set<ProbeKind> kinds) {
    Map.Entry<Set<ProbeKind>, String> known = rejected;
    return known != null && kinds.containsAll(known.getKey()) ? known.getValue() : null;
  }

  int slot(ProbeKind kind) {
    return firstSlot + kinds.indexOf(kind);
  }

  /** Returns the probes as notes describe them, in slot order. */
  List<ProbeDefinition> definitions(String provider) {
    List<ProbeDefinition> definitions = new ArrayList<>();
    for (ProbeKind kind : kinds) {
      List<ArgumentSize> words = words(kind);
      // Tracers read only twelve arguments. The last word is the thread ID, which jcollect knows.
      definitions.add(
          new ProbeDefinition(
              provider,
              probeName() + "__" + kind.suffix,
              words.subList(0, Math.min(words.size(), ProbeDefinition.MAX_ARGUMENTS))));
    }
    return definitions;
  }

  /**
   * Returns the types of all words that the stub passes: the duration except at entry, the values,
   * the thread ID.
   */
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

  /** Returns all probes of the method. */
  EnumSet<ProbeKind> all() {
    return EnumSet.copyOf(kinds);
  }

  @Override
  public String toString() {
    return name + descriptor;
  }
}
