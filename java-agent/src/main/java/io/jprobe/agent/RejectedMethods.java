// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;

/**
 * Finds the methods because of which the JVM rejects a woven class, so that the others can be
 * woven. The JVM reports only that it rejects the class, so the class is woven with subsets of the
 * methods, found by halving. The cause can be another agent that cannot process woven code.
 */
final class RejectedMethods {
  /**
   * Maximum number of attempts for one class; methods that were not tried by then are not woven.
   * One method in a thousand is found in 22 attempts, each of which may be a safepoint.
   */
  private static final int MAX_ATTEMPTS = 64;

  private final TracedClass traced;
  private final BooleanSupplier jvm;
  private final Map<TracedMethod, EnumSet<ProbeKind>> accepted = new LinkedHashMap<>();
  private final Map<TracedMethod, EnumSet<ProbeKind>> rejected = new LinkedHashMap<>();
  private int attempts;

  /**
   * @param jvm retransforms the class with its armed probes, and returns true if the JVM accepts it
   */
  RejectedMethods(TracedClass traced, BooleanSupplier jvm) {
    this.traced = traced;
    this.jvm = jvm;
  }

  /** Returns true if a single method can cause this error of the JVM. */
  static boolean canCause(Throwable problem) {
    return problem instanceof LinkageError || problem instanceof InternalError;
  }

  /**
   * Marks the methods that the JVM rejects, and weaves the class with the others.
   *
   * @param reason the JVM's error for the class with all armed probes
   * @return true if that succeeded; otherwise nothing of the class is woven
   */
  boolean exclude(String reason) {
    Map<TracedMethod, EnumSet<ProbeKind>> all = traced.armed();
    List<TracedMethod> suspects = new ArrayList<>(traced.methods());
    suspects.retainAll(all.keySet());
    // Probes that the JVM has accepted before stay woven during the search, so none of their hits
    // is missed.
    traced.woven().forEach((method, kinds) -> keep(method, kinds, all));
    suspects.removeIf(method -> all.get(method).equals(accepted.get(method)));
    // If the JVM rejects the class without any probe, no method is the cause.
    if (all.isEmpty() || suspects.isEmpty() || accepted.isEmpty() && !isAccepted(Map.of())) {
      traced.arm(all);
      return false;
    }
    search(suspects, all);
    String together = rejected.size() > 1 ? ", alone or together with others" : "";
    rejected.forEach(
        (method, kinds) ->
            method.reject(
                kinds,
                "the JVM rejects the class when this method is woven" + together + ": " + reason));
    // All wanted probes stay armed: the weaver leaves out the methods that are marked.
    if (isAccepted(all)) {
      return true;
    }
    isAccepted(Map.of());
    traced.arm(all);
    return false;
  }

  private void keep(
      TracedMethod method, EnumSet<ProbeKind> kinds, Map<TracedMethod, EnumSet<ProbeKind>> all) {
    if (all.containsKey(method) && all.get(method).containsAll(kinds)) {
      accepted.put(method, kinds);
    }
  }

  /** Searches methods of which the JVM rejects some, together with the accepted ones. */
  private void search(List<TracedMethod> suspects, Map<TracedMethod, EnumSet<ProbeKind>> all) {
    if (suspects.size() == 1 || attempts >= MAX_ATTEMPTS) {
      suspects.forEach(method -> rejected.put(method, all.get(method)));
      return;
    }
    List<TracedMethod> first = suspects.subList(0, suspects.size() / 2);
    List<TracedMethod> second = suspects.subList(suspects.size() / 2, suspects.size());
    if (isAccepted(first, all)) {
      search(second, all);
      return;
    }
    search(first, all);
    if (!isAccepted(second, all)) {
      search(second, all);
    }
  }

  private boolean isAccepted(
      Collection<TracedMethod> more, Map<TracedMethod, EnumSet<ProbeKind>> all) {
    if (attempts >= MAX_ATTEMPTS) {
      return false;
    }
    Map<TracedMethod, EnumSet<ProbeKind>> together = new LinkedHashMap<>(accepted);
    more.forEach(method -> together.put(method, all.get(method)));
    boolean isAccepted = isAccepted(together);
    if (isAccepted) {
      accepted.putAll(together);
    }
    return isAccepted;
  }

  private boolean isAccepted(Map<TracedMethod, EnumSet<ProbeKind>> methods) {
    attempts++;
    traced.arm(methods);
    return jvm.getAsBoolean();
  }
}
