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
 * A class whose class file was read: its methods with probes, what is woven of them, and the loaded
 * class. Keeps neither the class nor its loader alive.
 */
public final class TracedClass {
  private static final long DEFINITION_TIMEOUT_NANOS = 5_000_000_000L;

  /** The name with slashes, as in class files. */
  public final String internalName;

  /** The number of the class loader; see {@link LoaderIds}. */
  public final int loaderId;

  final ClassKey key;
  private final long since = System.nanoTime();
  private volatile List<TracedMethod> methods = List.of();
  private volatile Map<TracedMethod, EnumSet<ProbeKind>> armed = Map.of();
  private volatile boolean wasArmed;
  private volatile MethodParameters parameters = MethodParameters.NONE;
  private Reference<Class<?>> loaded = new WeakReference<>(null);

  // Used by the watcher thread only. Retired methods may be revived.
  private final List<TracedMethod> retired = new ArrayList<>();
  private final Set<Untraceable> reported = new HashSet<>();
  private boolean isWoven;
  private Map<TracedMethod, EnumSet<ProbeKind>> woven = Map.of();
  private Map<TracedMethod, EnumSet<ProbeKind>> givenUp = Map.of();

  /** Reasons why prepared methods cannot be woven; empty strings if they can. */
  private final Map<TracedMethod, String> prepared = new ConcurrentHashMap<>();

  TracedClass(ClassKey key, int loaderId) {
    this.key = key;
    this.loaderId = loaderId;
    this.internalName = key.internalName;
  }

  public String className() {
    return internalName.replace('/', '.');
  }

  /** Returns the methods with probes, without retired ones. A change replaces the list. */
  public List<TracedMethod> methods() {
    return methods;
  }

  void setMethods(List<TracedMethod> methods) {
    List<TracedMethod> dropped = new ArrayList<>(this.methods);
    dropped.removeAll(methods);
    retired.addAll(dropped);
    retired.removeAll(methods);
    this.methods = List.copyOf(methods);
  }

  /**
   * Marks a finding as reported to collectors. Returns true if it was not yet: a class may be read
   * more than once.
   */
  boolean markReported(Untraceable one) {
    return reported.add(one);
  }

  /** Lets a finding be reported again that was discarded before it was published. */
  void unmarkReported(Untraceable one) {
    reported.remove(one);
  }

  /** Returns an equivalent method that has or had probes; null if there is none. */
  TracedMethod findEquivalent(TracedMethod wanted) {
    for (List<TracedMethod> some : List.of(methods, retired)) {
      for (TracedMethod method : some) {
        if (method.isEquivalent(wanted)) {
          return method;
        }
      }
    }
    return null;
  }

  /** Returns the probes to weave, as of the last poll; only methods that have some. */
  public Map<TracedMethod, EnumSet<ProbeKind>> wanted() {
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = new HashMap<>();
    for (TracedMethod method : methods) {
      EnumSet<ProbeKind> kinds = method.wanted();
      if (!kinds.isEmpty()) {
        wanted.put(method, kinds);
      }
    }
    return wanted;
  }

  /** Returns all probes of the class. */
  public Map<TracedMethod, EnumSet<ProbeKind>> all() {
    Map<TracedMethod, EnumSet<ProbeKind>> all = new HashMap<>();
    methods.forEach(method -> all.put(method, method.all()));
    return all;
  }

  /** Returns the armed probes, which the next transformation weaves: an immutable map. */
  public Map<TracedMethod, EnumSet<ProbeKind>> armed() {
    return armed;
  }

  /** Replaces the armed probes. */
  public void arm(Map<TracedMethod, EnumSet<ProbeKind>> methods) {
    methods.keySet().forEach(method -> method.generation().markArmed());
    wasArmed |= !methods.isEmpty();
    armed = Map.copyOf(methods);
    givenUp = Map.of();
  }

  /** Returns true if a probe of the class was ever armed. */
  public boolean wasArmed() {
    return wasArmed;
  }

  /** Returns the parameters of the methods when the class was read; see ParameterNames. */
  public MethodParameters parameters() {
    return parameters;
  }

  void setParameters(MethodParameters parameters) {
    this.parameters = parameters;
  }

  /**
   * Returns true if the JVM has a woven version of the class; not all armed probes may be in it.
   */
  public boolean isWoven() {
    return isWoven;
  }

  /** Records, on the watcher thread, which version of the class the JVM has accepted. */
  public void setWoven(boolean woven) {
    isWoven = woven;
    this.woven = woven ? armed : Map.of();
  }

  /** Returns the probes that were armed in the last version that the JVM has accepted. */
  public Map<TracedMethod, EnumSet<ProbeKind>> woven() {
    return woven;
  }

  /** Returns true if all classes that the woven method refers to are resolved. Thread-safe. */
  public boolean isPrepared(TracedMethod method) {
    return "".equals(prepared.get(method));
  }

  /**
   * Records that a method was prepared for weaving.
   *
   * @param problem why the method cannot be woven; null if it can
   */
  public void setPrepared(TracedMethod method, String problem) {
    prepared.put(method, problem == null ? "" : problem);
  }

  /** Returns why the method cannot be woven; null if no problem is known. Thread-safe. */
  public String problem(TracedMethod method) {
    String problem = prepared.get(method);
    return problem == null || problem.isEmpty() ? null : problem;
  }

  /** Gives up weaving the currently wanted probes, until other ones are wanted. */
  public void giveUp() {
    givenUp = wanted();
    armed = Map.of();
  }

  /** Returns true if the JVM has the class as the attached tracers need it, or cannot have it. */
  public boolean isUpToDate() {
    Map<TracedMethod, EnumSet<ProbeKind>> wanted = wanted();
    if (wanted.isEmpty()) {
      return !isWoven;
    }
    return wanted.equals(givenUp) || (isWoven && wanted.equals(armed));
  }

  /**
   * Returns true if the class will not be defined any more, provided that it is not yet. It was
   * read before the JVM defined it, and the JVM rejects some classes, for instance because a
   * superclass is missing.
   */
  public boolean isDefinitionOverdue() {
    return System.nanoTime() - since > DEFINITION_TIMEOUT_NANOS;
  }

  /** Returns the class; null before {@link #bind} has found it and after it was unloaded. */
  public Class<?> loaded() {
    return loaded.get();
  }

  /**
   * Binds the description to a loaded class of this name, if that has the same loader.
   *
   * @return true if it has
   */
  public boolean bind(Class<?> candidate) {
    if (!key.loader.isLoaderOf(candidate)) {
      return false;
    }
    loaded = new WeakReference<>(candidate);
    return true;
  }

  /** Returns true if the class's loader was collected, and the class unloaded with it. */
  public boolean isUnloaded() {
    return key.loader.isCollected();
  }
}
