// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** Plans which methods of classes get, keep and lose their probes. Changes no class. */
final class ClassPlanner {
  private final Map<ClassKey, TracedClass> classes;
  private final QueuedClasses queue;
  private final LoadedClasses loadedClasses;
  private final LoaderIds loaderIds;

  /**
   * @param classes the classes that were read before
   * @param queue gets back the classes that the JVM has not defined yet
   */
  ClassPlanner(
      Map<ClassKey, TracedClass> classes,
      QueuedClasses queue,
      LoadedClasses loadedClasses,
      LoaderIds loaderIds) {
    this.classes = classes;
    this.queue = queue;
    this.loadedClasses = loadedClasses;
    this.loaderIds = loaderIds;
  }

  /**
   * Reads classes and plans for them.
   *
   * @param queued the classes; those that are not defined yet are removed
   */
  List<ClassPlan> plan(Map<ClassKey, QueuedClass> queued, Selectors selectors, BurstReader reader) {
    List<ClassPlan> plans = new ArrayList<>();
    if (queued.isEmpty()) {
      return plans;
    }
    Supertypes supertypes = new Supertypes(selectors.needSupertypes(), loadedClasses, queued);
    queued.entrySet().removeIf(each -> isPostponed(each, supertypes));
    for (Map.Entry<ClassKey, QueuedClass> each : queued.entrySet()) {
      ClassKey key = each.getKey();
      TracedClass known = classes.get(key);
      if (known == null && cannotMatch(each, selectors, supertypes)) {
        continue;
      }
      TracedClass traced = known == null ? new TracedClass(key, loaderIds.of(key.loader)) : known;
      plans.add(reader.read(traced, each.getValue(), () -> supertypes.of(key)));
    }
    return plans;
  }

  /** Returns true if the name and the supertypes of the class show that no selector matches it. */
  private static boolean cannotMatch(
      Map.Entry<ClassKey, QueuedClass> each, Selectors selectors, Supertypes supertypes) {
    return selectors.needSupertypes()
        && !selectors.mayMatch(
            each.getKey().internalName.replace('/', '.'),
            each.getValue().inJdk,
            () -> supertypes.of(each.getKey()));
  }

  /**
   * Returns true if the JVM has not defined the class yet. Queues it again, unless the JVM must
   * have rejected it.
   */
  private boolean isPostponed(Map.Entry<ClassKey, QueuedClass> each, Supertypes supertypes) {
    boolean isUndefined = supertypes.isUndefined(each.getKey());
    if (isUndefined && !each.getValue().isExpired()) {
      queue.add(each.getKey(), each.getValue());
    }
    return isUndefined;
  }

  /** Plans for the other classes: they keep the methods whose selectors are still in force. */
  List<ClassPlan> planOthers(List<ClassPlan> plans, Set<Selector> inForce) {
    Set<TracedClass> planned = plans.stream().map(plan -> plan.traced).collect(Collectors.toSet());
    List<ClassPlan> others = new ArrayList<>();
    for (TracedClass traced : classes.values()) {
      if (!planned.contains(traced)) {
        List<TracedMethod> kept = new ArrayList<>(traced.methods());
        kept.removeIf(method -> !method.isDecidedBy(inForce));
        others.add(ClassPlan.keeping(kept, traced));
      }
    }
    return others;
  }

  /** Returns by how many the number of methods with probes grows. */
  static int growth(Collection<ClassPlan> plans) {
    return plans.stream().mapToInt(ClassPlan::growth).sum();
  }
}
