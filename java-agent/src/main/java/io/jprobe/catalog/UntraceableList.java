// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Collects what cannot be traced, until the next stub library reports it. */
final class UntraceableList {
  /** Maximum number of hidden classes to list: programs create them without end. */
  private static final int MAX_HIDDEN = 1_000;

  /** Time for which findings wait for the next library with probes. */
  private static final long TIMEOUT_NANOS = 1_000_000_000L;

  private static final ClassLoader AGENT = UntraceableList.class.getClassLoader();

  private static final String LAMBDA = "$$Lambda";

  /** A finding, and the class that keeps it as reported; null for a hidden class. */
  static final class Entry {
    final Untraceable untraceable;
    private final TracedClass traced;

    private Entry(TracedClass traced, Untraceable untraceable) {
      this.traced = traced;
      this.untraceable = untraceable;
    }
  }

  private final List<Entry> waiting = new ArrayList<>();

  /** The hidden classes that are listed, by name, with the text of the selector. */
  private final Map<String, String> hidden = new HashMap<>();

  private int listed;
  private final Method isHidden;
  private long since;

  UntraceableList() {
    try {
      isHidden = Class.class.getMethod("isHidden");
    } catch (NoSuchMethodException e) {
      throw new IllegalStateException("jprobe needs Java 17 or later", e);
    }
  }

  void add(TracedClass traced, Untraceable one) {
    putBack(List.of(new Entry(traced, one)));
  }

  void putBack(List<Entry> entries) {
    if (waiting.isEmpty()) {
      since = System.nanoTime();
    }
    waiting.addAll(entries);
  }

  /** Discards what selectors match that are not in force any more. */
  void discardAllBut(Selectors inForce) {
    Set<String> texts = new HashSet<>(Set.of(""));
    inForce.each().forEach(selector -> texts.add(selector.toString()));
    for (Entry each : waiting) {
      if (!texts.contains(each.untraceable.selector) && each.traced != null) {
        each.traced.unmarkReported(each.untraceable);
      }
    }
    waiting.removeIf(each -> !texts.contains(each.untraceable.selector));
    hidden.values().retainAll(texts);
  }

  /** Returns true if findings are to be reported in a library without methods. */
  boolean hasWaited() {
    return hasWaited(TIMEOUT_NANOS);
  }

  boolean hasWaited(long nanos) {
    return !waiting.isEmpty() && System.nanoTime() - since > nanos;
  }

  static List<Untraceable> findings(List<Entry> entries) {
    List<Untraceable> findings = new ArrayList<>();
    for (Entry each : entries) {
      findings.add(each.untraceable);
    }
    return findings;
  }

  List<Entry> take() {
    List<Entry> taken = List.copyOf(waiting);
    waiting.clear();
    return taken;
  }

  /** Adds the hidden classes that a selector matches; a class with lambdas only once. */
  void addHidden(LoadedClasses loadedClasses, Selectors selectors, LoaderIds loaderIds) {
    if (listed >= MAX_HIDDEN) {
      return;
    }
    for (Class<?> candidate : loadedClasses.all()) {
      if (isHidden(candidate) && candidate.getClassLoader() != AGENT) {
        addHidden(candidate, selectors, loaderIds);
      }
    }
  }

  private void addHidden(Class<?> candidate, Selectors selectors, LoaderIds loaderIds) {
    // The part after "/" in com.acme.Orders$$Lambda$14/0x0000000800c03000 distinguishes copies.
    String name = candidate.getName().substring(0, candidate.getName().indexOf('/'));
    int lambda = name.indexOf(LAMBDA);
    String key = lambda < 0 ? name : name.substring(0, lambda + LAMBDA.length());
    if (listed >= MAX_HIDDEN || hidden.containsKey(key)) {
      return;
    }
    Selector selector =
        selectors.matchingHidden(name, isOfJdk(candidate), new SupertypeNames().of(candidate));
    if (selector == null) {
      return;
    }
    listed++;
    hidden.put(key, selector.toString());
    add(
        null,
        new Untraceable(
            candidate.getName(),
            loaderIds.of(new LoaderKey(candidate.getClassLoader())),
            "",
            "",
            lambda < 0
                ? "it is a hidden class, which the JVM does not retransform"
                : "it is the class of a lambda or of a method reference, which the JVM does not"
                    + " retransform; the body of a lambda is a method of "
                    + name.substring(0, lambda),
            selector.toString()));
  }

  private boolean isHidden(Class<?> candidate) {
    try {
      return (Boolean) isHidden.invoke(candidate);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  private static boolean isOfJdk(Class<?> candidate) {
    return JdkClasses.has(candidate);
  }
}
