// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selector;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Words the reasons why a selection, or a selector, is refused, and what to do. */
public final class Refusals {
  private static final int MAX_NAMED = 3;
  private static final int MAX_REASONS = 2;

  private Refusals() {}

  static String tooMany(int methods, int maxMethods) {
    return String.format(
        Locale.ROOT,
        "the selectors match %,d methods of the classes loaded so far, more than max-methods=%d"
            + " allows; narrow them, or raise the limit: --max-methods N of jcollect, or the option"
            + " max-methods=N",
        methods,
        maxMethods);
  }

  /** Returns a sentence about a selector of whose matches none can be traced. */
  static String untraceable(Selector selector, Matches matches) {
    return "'" + selector + "' " + clause(selector, matches.failed(selector));
  }

  /**
   * Returns a clause about a selector, its subject, of whose matches none can be traced.
   *
   * @param failed these matches
   */
  public static String clause(Selector selector, List<Untraceable> failed) {
    Map<String, List<Untraceable>> byReason = new LinkedHashMap<>();
    for (Untraceable one : failed) {
      byReason.computeIfAbsent(one.finalReason(), key -> new ArrayList<>()).add(one);
    }
    StringBuilder text = new StringBuilder("matches ");
    text.append(
        failed.size() == 1
            ? "1 method, which cannot be traced"
            : failed.size() + " methods, none of which can be traced");
    int reasons = 0;
    for (Map.Entry<String, List<Untraceable>> each : byReason.entrySet()) {
      if (reasons++ == MAX_REASONS) {
        int others = byReason.size() - MAX_REASONS;
        text.append("; and ").append(others).append(others == 1 ? " more reason" : " more reasons");
        break;
      }
      text.append("; ").append(names(each.getValue())).append(": ");
      text.append(remedied(selector, each.getKey(), each.getValue().get(0)));
    }
    return text.toString();
  }

  private static String names(List<Untraceable> some) {
    StringBuilder names = new StringBuilder();
    for (int i = 0; i < Math.min(some.size(), MAX_NAMED); i++) {
      names.append(i == 0 ? "" : ", ").append(some.get(i).name());
    }
    int more = some.size() - MAX_NAMED;
    return names + (more > 0 ? " and " + more + " more" : "");
  }

  private static String remedied(Selector selector, String reason, Untraceable example) {
    // The sentence has the selector as its subject.
    String prefix = "selector '" + selector + "', ";
    String shown = reason.startsWith(prefix) ? reason.substring(prefix.length()) : reason;
    boolean isWide = selector.needsSupertypes() && reason.equals(Traceability.ABSTRACT);
    return shown + (isWide ? "; no loaded class implements it" : remedy(reason, example));
  }

  /** Returns what to write instead; empty if nothing can be suggested. */
  private static String remedy(String reason, Untraceable example) {
    if (example.isRetried) {
      return "; select it again when its class loader has the file";
    }
    if (reason.equals(Traceability.ABSTRACT)) {
      String wider = "+" + example.className + "#" + example.method;
      return "; write '" + wider + "' for the methods that implement it";
    }
    if (reason.equals(Traceability.NATIVE)) {
      return ", and has no bytecode; trace a method that calls it";
    }
    return "";
  }
}
