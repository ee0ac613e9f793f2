// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.ArrayList;
import java.util.List;

/** What was selected: a method is, if any one of the selectors matches it. */
public final class Selectors {
  public static final Selectors NONE = new Selectors(List.of());

  private final List<Selector> selectors;

  private Selectors(List<Selector> selectors) {
    this.selectors = List.copyOf(selectors);
  }

  /** Reads selectors separated by ";". A separator at the end is no selector. */
  public static Selectors parse(String written) throws SelectorException {
    List<Selector> selectors = new ArrayList<>();
    for (String one : written.split(";")) {
      selectors.add(Selector.parse(one));
    }
    return new Selectors(selectors);
  }

  public boolean matchesClass(String className) {
    for (Selector selector : selectors) {
      if (selector.matchesClass(className)) {
        return true;
      }
    }
    return false;
  }

  /** The selectors that mean the method; none, if it is not selected. */
  public List<Selector> matching(String className, String method) {
    List<Selector> matching = new ArrayList<>();
    for (Selector selector : selectors) {
      if (selector.matches(className, method)) {
        matching.add(selector);
      }
    }
    return matching;
  }

  /** The selectors one by one, in the order in which they were written. */
  public List<Selector> each() {
    return selectors;
  }
}
