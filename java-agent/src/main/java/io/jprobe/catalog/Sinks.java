// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;
import io.jprobe.layout.SinksLayout;

/** What happens when a probe fires: bits of a word in its gate (layout/gate.toml). */
public final class Sinks {
  /** Its stub is called, where tracers may have a uprobe. */
  public static final int TRAP = (int) SinksLayout.TRAP_MASK << SinksLayout.TRAP_SHIFT;

  /** A record is written to a ring buffer. */
  public static final int EVENT = (int) SinksLayout.EVENT_MASK << SinksLayout.EVENT_SHIFT;

  /** The duration of the call is counted in a histogram. */
  public static final int COUNT = (int) SinksLayout.COUNT_MASK << SinksLayout.COUNT_SHIFT;

  static final int ALL = TRAP | EVENT | COUNT;

  private Sinks() {}

  /** Returns the bits of the word that say what kind of probe it is. */
  static int properties(ProbeKind kind) {
    int timed = kind == ProbeKind.ENTRY ? 0 : 1 << SinksLayout.TIMED_SHIFT;
    return kind == ProbeKind.THROW ? timed | 1 << SinksLayout.THROW_SHIFT : timed;
  }
}
