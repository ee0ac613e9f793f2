// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;
import io.jprobe.classfile.MethodParameters;
import java.lang.ref.Reference;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A class that was looked at: its methods with probes, what of them is woven, and where the class
 * is. Neither the class nor its loader is kept alive.
 */
public final class TracedClass {
  private static final long DEFINITION_PATIENCE_NANOS = 5_000_000_000L;

  /** With slashes, as in class files. */
  public final String internalName;

  /** 0 is the boot loader; the others are counted as they are met. */
  public final int loaderId;

  final ClassKey key;
  private final long since = System.nanoTime();
  private volatile List<TracedMethod> methods = List.of();
  private volatile Map<TracedMethod, EnumSet<ProbeKind>> armed = Map.of();
  private volatile boolean wasArmed;
  private volatile MethodParameters parameters = MethodParameters.NONE;
  private Reference<Class<?>> loaded = new WeakReference<>(null);

  // Of the watcher's thread: they may come back.
  private final List<TracedMethod> retired = new ArrayList<>();
  private final Set<Untraceable> told = new HashSet<>();
  private boolean isWoven;
  private Map<TracedMethod, EnumSet<ProbeKind>> woven = Map.of();
  private Map<TracedMethod, EnumSet<ProbeKind>> givenUp = Map.of();

  /** What keeps methods that were prepared for weaving from being woven; empty for nothing. */
  private final Map<TracedMethod, String> prepared = new ConcurrentHashMap<>();

  TracedClass(ClassKey key, int loaderId) {
    this.key = key;
    this.loaderId = loaderId;
    this.internalName = key.internalName;
  }

  public String className() {
    return internalName.replace('/', '.');
  }

  /** The methods with probes; those that are retired left out. A change replaces the list. */
  public List<TracedMethod> methods() {
    return methods;
  }

  void setMethods(List<TracedMethod> methods) {
    List<TracedMethod> gone = new ArrayList<>(this.methods);
    gone.removeAll(methods);
    retired.addAll(gone);
    retired.removeAll(methods);
    this.methods = List.copyOf(methods);
  }

  /** Whether collectors have not been told of it yet: a class may be read more than once. */
  boolean isNews(Untraceable one) {
    return told.add(one);
  }

  /** A method that has or had probes and is like the one described; null if there is none. */
  TracedMethod findLike(TracedMethod wanted) {
    for (List<TracedMethod> some : List.of(methods, retired)) {
      for (TracedMethod method : some) {
        if (method.isLike(wanted)) {
          return method;
        }
      }
    }
    return null;
  }

  /**
   * The probes that somebody listens to, by the watcher's last look; methods with none left out.
   */
  public Map<TracedMethod, EnumSet<ProbeKind>> raised() {
    Map<TracedMethod, EnumSet<ProbeKind>> raised = new HashMap<>();
    for (TracedMethod method : methods) {
      EnumSet<ProbeKind> kinds = method.raised();
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
    methods.keySet().forEach(method -> method.generation().arm());
    wasArmed |= !methods.isEmpty();
    armed = Map.copyOf(methods);
    givenUp = Map.of();
  }

  /** Whether a probe of the class was ever woven, or tried. */
  public boolean wasArmed() {
    return wasArmed;
  }

  /** What the class's methods said of their parameters when it was read; see ParameterNames. */
  public MethodParameters parameters() {
    return parameters;
  }

  void setParameters(MethodParameters parameters) {
    this.parameters = parameters;
  }

  /** Whether the JVM has the class other than it was; what is armed may not have come about. */
  public boolean isWoven() {
    return isWoven;
  }

  /** Of the watcher's thread: the JVM has taken the class with what is armed. */
  public void setWoven(boolean woven) {
    isWoven = woven;
    this.woven = woven ? armed : Map.of();
  }

  /** What was armed when the JVM took the class last. */
  public Map<TracedMethod, EnumSet<ProbeKind>> woven() {
    return woven;
  }

  /** Whether all that the woven method names is resolved. For any thread. */
  public boolean isPrepared(TracedMethod method) {
    return "".equals(prepared.get(method));
  }

  /**
   * @param problem why the method cannot be woven; null if it can
   */
  public void setPrepared(TracedMethod method, String problem) {
    prepared.put(method, problem == null ? "" : problem);
  }

  /** Why the method cannot be woven; null if nothing is known against it. For any thread. */
  public String problem(TracedMethod method) {
    String problem = prepared.get(method);
    return problem == null || problem.isEmpty() ? null : problem;
  }

  /** Nothing is woven of what is wanted now. */
  public void giveUp() {
    givenUp = raised();
    armed = Map.of();
  }

  /** Whether the JVM has the class as those who listen want it, or cannot. */
  public boolean isSettled() {
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = raised();
    if (wanted.isEmpty()) {
      return !isWoven;
    }
    return wanted.equals(givenUp) || (isWoven && wanted.equals(armed));
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
