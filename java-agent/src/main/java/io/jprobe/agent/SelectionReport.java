// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.select.Selector;
import java.util.List;
import java.util.Map;

/**
 * Logs once which selectors have matched no method, and why: after ten seconds, when most programs
 * have loaded their classes, or at exit if that comes first.
 */
final class SelectionReport {
  private static final long DELAY_NANOS = 10_000_000_000L;

  /** Maximum time to explain them. At exit, the program waits for it. */
  private static final long EXPLAIN_NANOS = 100_000_000L;

  /** Maximum number of selectors that are explained: each is compared with all loaded classes. */
  private static final int MAX_EXPLAINED = 16;

  private final Tracing tracing;
  private final ApplicationCalls calls;
  private final long start = System.nanoTime();
  private boolean isDone;

  SelectionReport(Tracing tracing, ApplicationCalls calls) {
    this.tracing = tracing;
    this.calls = calls;
  }

  /** Called about once a second. */
  synchronized void reportIfDue() {
    if (!isDone && System.nanoTime() - start > DELAY_NANOS) {
      report("has matched no method of the classes loaded so far; it still applies to later ones");
    }
  }

  synchronized void reportAtExit() {
    if (!isDone) {
      report("has matched no method");
    }
  }

  private void report(String finding) {
    List<Selector> unmatched = tracing.catalog.unmatched();
    isDone = !unmatched.isEmpty();
    Map<Selector, String> reasons = unmatched.isEmpty() ? Map.of() : reasons(unmatched);
    for (Selector selector : unmatched) {
      String reason = reasons.getOrDefault(selector, "");
      boolean saysMore = !reason.isEmpty() && !reason.equals(ProgramSearch.NOT_LOADED);
      Log.line("selector " + selector + " " + finding + (saysMore ? ". It " + reason : ""));
    }
  }

  private Map<Selector, String> reasons(List<Selector> unmatched) {
    List<Selector> first = unmatched.subList(0, Math.min(unmatched.size(), MAX_EXPLAINED));
    try {
      return calls
          .start(
              null, EXPLAIN_NANOS, () -> new ProgramSearch(tracing).explain(first, EXPLAIN_NANOS))
          .get();
    } catch (ApplicationException | OutOfMemoryError e) {
      return Map.of();
    }
  }
}
