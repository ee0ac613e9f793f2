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
 * Finds the methods for which the JVM refuses a woven class, so that they cost the others nothing.
 * It says no more than that it refuses the class; so the class is woven with some of the methods
 * and with others, by halves. Our weaving is meant to give no cause; another agent may, that cannot
 * cope with what we have woven.
 */
final class GuiltyMethods {
  /**
   * Of one class. One method in a thousand is found in 22 tries, each of which may be a safepoint;
   * what has not been tried by the last is not woven.
   */
  private static final int MOST_TRIES = 64;

  private final TracedClass traced;
  private final BooleanSupplier attempt;
  private final Map<TracedMethod, EnumSet<ProbeKind>> good = new LinkedHashMap<>();
  private final Map<TracedMethod, EnumSet<ProbeKind>> refused = new LinkedHashMap<>();
  private int tries;

  /**
   * @param attempt has the JVM take the class with what is armed of it, and says whether it did
   */
  GuiltyMethods(TracedClass traced, BooleanSupplier attempt) {
    this.traced = traced;
    this.attempt = attempt;
  }

  /** Whether one method can be to blame for what the JVM has said. */
  static boolean mayBeBehind(Throwable problem) {
    return problem instanceof LinkageError || problem instanceof InternalError;
  }

  /**
   * Marks the methods that are to blame, and has the class woven with the others.
   *
   * @param reason what the JVM has said of the class with all that is armed now
   * @return whether that succeeded; if not, the class as it is cannot be woven, and is not
   */
  boolean areLeftOut(String reason) {
    Map<TracedMethod, EnumSet<ProbeKind>> all = traced.armed();
    List<TracedMethod> suspects = new ArrayList<>(traced.methods());
    suspects.retainAll(all.keySet());
    // What the JVM has taken stays woven meanwhile, so that none of its hits are missed.
    traced.woven().forEach((method, kinds) -> keep(method, kinds, all));
    suspects.removeIf(method -> all.get(method).equals(good.get(method)));
    // What it refuses without any probe, it refuses for another reason.
    if (all.isEmpty() || suspects.isEmpty() || good.isEmpty() && !isTaken(Map.of())) {
      traced.arm(all);
      return false;
    }
    search(suspects, all);
    String together = refused.size() > 1 ? ", alone or together with others" : "";
    refused.forEach(
        (method, kinds) ->
            method.refuse(kinds, "the JVM refuses the class with it" + together + ": " + reason));
    // What is armed is what is wanted: those that are marked are left out as the class is woven.
    if (isTaken(all)) {
      return true;
    }
    isTaken(Map.of());
    traced.arm(all);
    return false;
  }

  private void keep(
      TracedMethod method, EnumSet<ProbeKind> kinds, Map<TracedMethod, EnumSet<ProbeKind>> all) {
    if (all.containsKey(method) && all.get(method).containsAll(kinds)) {
      good.put(method, kinds);
    }
  }

  /** Of these the JVM has refused some, together with what is good. */
  private void search(List<TracedMethod> some, Map<TracedMethod, EnumSet<ProbeKind>> all) {
    if (some.size() == 1 || tries >= MOST_TRIES) {
      some.forEach(method -> refused.put(method, all.get(method)));
      return;
    }
    List<TracedMethod> first = some.subList(0, some.size() / 2);
    List<TracedMethod> second = some.subList(some.size() / 2, some.size());
    if (isGood(first, all)) {
      search(second, all);
      return;
    }
    search(first, all);
    if (!isGood(second, all)) {
      search(second, all);
    }
  }

  private boolean isGood(Collection<TracedMethod> more, Map<TracedMethod, EnumSet<ProbeKind>> all) {
    if (tries >= MOST_TRIES) {
      return false;
    }
    Map<TracedMethod, EnumSet<ProbeKind>> candidate = new LinkedHashMap<>(good);
    more.forEach(method -> candidate.put(method, all.get(method)));
    boolean isTaken = isTaken(candidate);
    if (isTaken) {
      good.putAll(candidate);
    }
    return isTaken;
  }

  private boolean isTaken(Map<TracedMethod, EnumSet<ProbeKind>> methods) {
    tries++;
    traced.arm(methods);
    return attempt.getAsBoolean();
  }
}
