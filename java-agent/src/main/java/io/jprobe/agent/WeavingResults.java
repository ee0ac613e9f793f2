// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.ProbeState;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import java.util.EnumSet;
import java.util.Map;

/** Publishes and logs whether classes were woven or restored. For the watcher thread only. */
final class WeavingResults {
  static final String NO_MEMORY = "java.lang.OutOfMemoryError: the program has no memory left";

  /** Maximum number of log lines per poll about classes that cannot be woven or restored. */
  private static final int MAX_PROBLEMS = 20;

  private final Transformer transformer;
  private final RestoreRetries retries;

  /** Number of classes that could not be woven or restored in this poll. */
  private int problems;

  WeavingResults(Transformer transformer, RestoreRetries retries) {
    this.transformer = transformer;
    this.retries = retries;
  }

  void startPoll() {
    problems = 0;
  }

  /**
   * Publishes and logs the result for a class, and schedules a retry if restoring it has failed.
   *
   * @param problem null for success
   */
  void conclude(TracedClass traced, String problem) {
    publish(traced, problem);
    boolean isNews = problem != null;
    if (problem != null && traced.isWoven() && traced.wanted().isEmpty()) {
      isNews = retries.add(traced);
    }
    if (isNews && problems++ < MAX_PROBLEMS) {
      String verb = traced.wanted().isEmpty() ? "restore" : "weave";
      Log.line(
          problems < MAX_PROBLEMS
              ? "cannot " + verb + " class " + traced.className() + ": " + problem
              : "more classes cannot be woven or restored; jcollect probes shows which");
    }
  }

  /** Publishes the states of the class's probes, and logs the methods that were not woven. */
  void publish(TracedClass traced, String problem) {
    Map<TracedMethod, String> failures = transformer.takeFailures(traced);
    Map<TracedMethod, EnumSet<ProbeKind>> wanted =
        problem == null ? traced.armed() : traced.wanted();
    for (TracedMethod method : traced.methods()) {
      EnumSet<ProbeKind> kinds = wanted.getOrDefault(method, EnumSet.noneOf(ProbeKind.class));
      String reason = problem != null ? problem : failures.get(method);
      ProbeState state = reason == null ? ProbeState.ARMED : ProbeState.FAILED;
      for (ProbeKind kind : method.kinds()) {
        method.setState(kind, kinds.contains(kind) ? state : method.unwovenState(kind));
      }
      if (problem == null && reason != null) {
        Log.line("cannot weave " + traced.className() + "#" + method + ": " + reason);
      }
    }
    if (problem != null) {
      traced.giveUp();
    }
  }

  /** Gives up a class that is not loaded; nothing has to be restored. */
  void giveUp(TracedClass traced) {
    // An unloaded class is no news.
    boolean isWanted = !traced.isUnloaded() && !traced.wanted().isEmpty();
    traced.giveUp();
    conclude(traced, isWanted ? "the class was not defined, or was unloaded" : null);
  }
}
