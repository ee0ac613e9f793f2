// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * Logs the methods that their selectors do not fit: one line for each selector, because a selector
 * may match many methods and fit none of them. Collectors get the whole list. For the watcher
 * thread only.
 */
final class UntraceableLog {
  /** Maximum number of selectors with a line. */
  private static final int MAX_SELECTORS = 10;

  private final Set<String> logged = new HashSet<>();

  /** The findings that are not logged yet, by selector. */
  private final Map<String, Findings> fresh = new LinkedHashMap<>();

  private static final class Findings {
    private final String first;
    private int count;

    Findings(String first) {
      this.first = first;
    }
  }

  /**
   * Adds a method that cannot be traced.
   *
   * @param selector the selector that matches it
   */
  void add(String selector, String method, String problem) {
    if (!logged.contains(selector) && logged.size() <= MAX_SELECTORS) {
      fresh.computeIfAbsent(selector, key -> new Findings(method + ": " + problem)).count++;
    }
  }

  /** Logs what was added since the last call. */
  void flush() {
    if (fresh.isEmpty()) {
      return;
    }
    for (Map.Entry<String, Findings> each : fresh.entrySet()) {
      if (logged.size() <= MAX_SELECTORS && logged.add(each.getKey())) {
        Log.line(
            logged.size() <= MAX_SELECTORS
                ? text(each.getValue())
                : "more methods cannot be traced; jcollect probes PID --all lists them");
      }
    }
    fresh.clear();
  }

  private static String text(Findings some) {
    return some.count == 1
        ? "cannot trace " + some.first
        : "cannot trace "
            + some.count
            + " selected methods; jcollect probes PID --all lists them, such as "
            + some.first;
  }
}
