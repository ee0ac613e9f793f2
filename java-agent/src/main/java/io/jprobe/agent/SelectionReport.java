// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.select.Selector;
import java.util.List;

/**
 * Says once that selectors have matched nothing: after a while, when a program has usually loaded
 * what it is made of, or when it ends before.
 */
final class SelectionReport {
  private static final long PATIENCE_NANOS = 10_000_000_000L;

  private final Catalog catalog;
  private final long start = System.nanoTime();
  private boolean said;

  SelectionReport(Catalog catalog) {
    this.catalog = catalog;
  }

  /** From time to time. */
  synchronized void soon() {
    if (!said && System.nanoTime() - start > PATIENCE_NANOS) {
      report("has matched no method of the classes loaded so far; it gets its probes when it does");
    }
  }

  synchronized void atExit() {
    if (!said) {
      report("has matched no method");
    }
  }

  private void report(String finding) {
    List<Selector> unmatched = catalog.unmatched();
    said = !unmatched.isEmpty();
    for (Selector selector : unmatched) {
      Log.line("selector " + selector + " " + finding);
    }
  }
}
