// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.layout.ProbeStateLayout;

/** The state of a probe; the numbers are those of jprobe.v1.ProbeState. */
public enum ProbeState {
  DORMANT(ProbeStateLayout.DORMANT),
  ARMING(ProbeStateLayout.ARMING),
  ARMED(ProbeStateLayout.ARMED),
  FAILED(ProbeStateLayout.FAILED),
  RETIRED(ProbeStateLayout.RETIRED),
  THROTTLED(ProbeStateLayout.THROTTLED),

  /** Woven as soon as the JVM has linked the class, which it does when the program uses it. */
  WAITING(ProbeStateLayout.WAITING);

  final int number;

  ProbeState(int number) {
    this.number = number;
  }
}
