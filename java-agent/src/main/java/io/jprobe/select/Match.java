// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;

/** The selectors of one owner that match a method. Immutable. */
public final class Match {
  /** The number of the owner; see {@link Selectors#UNLEASED}. */
  public final int owner;

  /** In order of precedence, at least one. */
  private final List<Selector> selectors;

  Match(int owner, List<Selector> selectors) {
    this.owner = owner;
    this.selectors = List.copyOf(selectors);
  }

  /** Returns the selector that determines the captures and clauses. */
  public Selector deciding() {
    return selectors.get(0);
  }

  /** Returns all selectors that match, in order of precedence. */
  public List<Selector> selectors() {
    return selectors;
  }

  /** Returns the selectors that match and do not decide. */
  public List<Selector> overruled() {
    return selectors.subList(1, selectors.size());
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Match
        && ((Match) other).owner == owner
        && ((Match) other).selectors.equals(selectors);
  }

  @Override
  public int hashCode() {
    return 31 * selectors.hashCode() + owner;
  }
}
