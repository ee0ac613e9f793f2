// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Match;
import io.jprobe.select.Selector;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/** What the selectors match in the classes that were read. Answers for a selector by identity. */
public final class Matches {
  /** What one selector matches. */
  private static final class Tally {
    int traced;
    int overridden;
    Selector other;
    final List<Untraceable> failed = new ArrayList<>();
  }

  private final Map<Selector, Tally> tallies = new IdentityHashMap<>();

  /**
   * Counts one method.
   *
   * @param matching the matches that give it the same probes
   * @param problem why it cannot be traced; null if it can
   */
  void add(List<Match> matching, Untraceable problem) {
    for (Match match : matching) {
      for (Selector selector : match.selectors()) {
        Tally tally = tallies.computeIfAbsent(selector, key -> new Tally());
        if (selector != match.deciding()) {
          tally.overridden++;
          tally.other = match.deciding();
        } else if (problem == null) {
          tally.traced++;
        } else {
          tally.failed.add(problem);
        }
      }
    }
  }

  private Tally of(Selector selector) {
    return tallies.getOrDefault(selector, new Tally());
  }

  /** Returns the number of methods that match and for which another selector decides. */
  public int overridden(Selector selector) {
    return of(selector).overridden;
  }

  /** Returns one of the selectors that decide instead; null if there are none. */
  public Selector overriddenBy(Selector selector) {
    return of(selector).other;
  }

  /** Returns the methods for which the selector decides and that cannot be traced. */
  public List<Untraceable> failed(Selector selector) {
    return of(selector).failed;
  }

  /**
   * Returns the first of these selectors that can trace nothing, whatever the program does; null if
   * there is none. Methods that implement an abstract one may be loaded later.
   */
  Selector hopeless(List<Selector> selectors) {
    for (Selector selector : selectors) {
      Tally tally = of(selector);
      if (tally.traced == 0 && tally.overridden == 0 && !tally.failed.isEmpty()) {
        boolean mayMatchMore =
            selector.isOpen()
                && tally.failed.stream().allMatch(one -> one.reason.equals(Traceability.ABSTRACT));
        if (!mayMatchMore) {
          return selector;
        }
      }
    }
    return null;
  }
}
