// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selectors;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Collects what cannot be traced, until the next stub library reports it. */
final class UntraceableList {
  /** Maximum number of hidden classes to list: programs create them without end. */
  private static final int MAX_HIDDEN = 1_000;

  private static final ClassLoader AGENT = UntraceableList.class.getClassLoader();

  private static final String LAMBDA = "$$Lambda";

  private final List<Untraceable> waiting = new ArrayList<>();
  private final Set<String> hidden = new HashSet<>();
  private final Method isHidden;
  private long since;

  UntraceableList() {
    try {
      isHidden = Class.class.getMethod("isHidden");
    } catch (NoSuchMethodException e) {
      throw new IllegalStateException("jprobe needs Java 17 or later", e);
    }
  }

  void add(Untraceable one) {
    if (waiting.isEmpty()) {
      since = System.nanoTime();
    }
    waiting.add(one);
  }

  boolean hasWaited(long nanos) {
    return !waiting.isEmpty() && System.nanoTime() - since > nanos;
  }

  List<Untraceable> take() {
    List<Untraceable> taken = List.copyOf(waiting);
    waiting.clear();
    return taken;
  }

  /** Adds the hidden classes that a selector matches; a class with lambdas only once. */
  void addHidden(LoadedClasses loadedClasses, Selectors selectors, LoaderIds loaderIds) {
    if (hidden.size() >= MAX_HIDDEN) {
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
    if (hidden.size() >= MAX_HIDDEN
        || hidden.contains(key)
        || !selectors.matchHidden(name, isOfJdk(candidate), new SupertypeNames().of(candidate))) {
      return;
    }
    hidden.add(key);
    add(
        new Untraceable(
            candidate.getName(),
            loaderIds.of(new LoaderKey(candidate.getClassLoader())),
            "",
            "",
            lambda < 0
                ? "it is a hidden class, which the JVM does not retransform"
                : "it is a lambda's own class, which the JVM does not retransform; the lambda's"
                    + " body is a method of "
                    + name.substring(0, lambda)));
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
