// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.select.Selector;
import java.util.List;

/**
 * Logs once which selectors have matched no method: after ten seconds, when most programs have
 * loaded their classes, or at exit if that comes first.
 */
final class SelectionReport {
  private static final long DELAY_NANOS = 10_000_000_000L;

  private final Catalog catalog;
  private final long start = System.nanoTime();
  private boolean isDone;

  SelectionReport(Catalog catalog) {
    this.catalog = catalog;
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
    List<Selector> unmatched = catalog.unmatched();
    isDone = !unmatched.isEmpty();
    for (Selector selector : unmatched) {
      Log.line("selector " + selector + " " + finding);
    }
  }
}
