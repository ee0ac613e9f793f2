// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** The state of a probe; the numbers are those of jprobe.v1.ProbeState. */
public enum ProbeState {
  DORMANT(1),
  ARMING(2),
  ARMED(3),
  FAILED(4),
  RETIRED(5),
  THROTTLED(6),

  /** Woven as soon as the JVM has linked the class, which it does when the program uses it. */
  WAITING(7);

  final int number;

  ProbeState(int number) {
    this.number = number;
  }
}
