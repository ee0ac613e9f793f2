// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;
import io.jprobe.stapsdt.ProbeDefinition;
import java.lang.ref.Reference;
import java.lang.ref.WeakReference;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A class with probes. What it has is fixed; what of it is woven, and where the class is, are the
 * only things that change. Neither the class nor its loader is kept alive.
 */
public final class TracedClass {
  private static final long DEFINITION_PATIENCE_NANOS = 5_000_000_000L;

  /** With slashes, as in class files. */
  public final String internalName;

  public final List<TracedMethod> methods;

  /** 0 is the boot loader; the others are counted as they are met. */
  final int loaderId;

  final ClassKey key;
  private final long since = System.nanoTime();
  private String provider;
  private Generation generation;
  private volatile Map<TracedMethod, EnumSet<ProbeKind>> armed = Map.of();
  private Reference<Class<?>> loaded = new WeakReference<>(null);

  TracedClass(ClassKey key, int loaderId, List<TracedMethod> methods) {
    this.key = key;
    this.loaderId = loaderId;
    this.internalName = key.internalName;
    this.methods = List.copyOf(methods);
  }

  public String className() {
    return internalName.replace('/', '.');
  }

  /** Set once, before others see the class. */
  void setProvider(String provider) {
    this.provider = provider;
  }

  /** Adds the probes of all methods, in slot order. */
  void define(List<ProbeDefinition> definitions) {
    methods.forEach(method -> definitions.addAll(method.definitions(provider)));
  }

  /** Set once, before others see the class. */
  void place(Generation generation) {
    this.generation = generation;
  }

  /** The address that woven code calls. */
  public long stub(TracedMethod method, ProbeKind kind) {
    return generation.stub(method, kind);
  }

  /** The address of the method's gate, which woven code asks whether a call fires. */
  public long gate(TracedMethod method) {
    return generation.gate(method);
  }

  /** A word of the method's gate; see {@link Gate}. */
  public long gateWord(TracedMethod method, int word) {
    return generation.gateWord(method, word);
  }

  /** Changes what the gate lets pass, from the next call on, whether the method is woven or not. */
  public void setGateWord(TracedMethod method, int word, long value) {
    generation.setGateWord(method, word, value);
  }

  public void setState(TracedMethod method, ProbeKind kind, ProbeState state) {
    generation.setState(method, kind, state);
  }

  /**
   * The probes that somebody listens to, by the watcher's last look; methods with none left out.
   */
  public Map<TracedMethod, EnumSet<ProbeKind>> raised() {
    Map<TracedMethod, EnumSet<ProbeKind>> raised = new HashMap<>();
    for (TracedMethod method : methods) {
      EnumSet<ProbeKind> kinds = EnumSet.noneOf(ProbeKind.class);
      for (ProbeKind kind : method.kinds()) {
        if (generation.isRaised(method, kind)) {
          kinds.add(kind);
        }
      }
      if (!kinds.isEmpty()) {
        raised.put(method, kinds);
      }
    }
    return raised;
  }

  /** Every probe that the class has. */
  public Map<TracedMethod, EnumSet<ProbeKind>> all() {
    Map<TracedMethod, EnumSet<ProbeKind>> all = new HashMap<>();
    methods.forEach(method -> all.put(method, method.all()));
    return all;
  }

  /** What is to be woven: an immutable map that a change replaces as a whole. */
  public Map<TracedMethod, EnumSet<ProbeKind>> armed() {
    return armed;
  }

  public void arm(Map<TracedMethod, EnumSet<ProbeKind>> methods) {
    armed = Map.copyOf(methods);
  }

  /**
   * Whether the class, if it is not defined by now, will not be: it was described before the JVM
   * defined it, and the JVM refuses classes, of which others are missing for instance.
   */
  public boolean isOverdue() {
    return System.nanoTime() - since > DEFINITION_PATIENCE_NANOS;
  }

  /** The class, or null before {@link #link} has found it and after it has been unloaded. */
  public Class<?> loaded() {
    return loaded.get();
  }

  /**
   * Whether the candidate, of this name, is the class that the description is of; links it if so.
   */
  public boolean link(Class<?> candidate) {
    if (!key.loader.isLoaderOf(candidate)) {
      return false;
    }
    loaded = new WeakReference<>(candidate);
    return true;
  }

  /** Whether the class's loader has been collected, and the class with it. */
  public boolean isGone() {
    return key.loader.isGone();
  }
}
