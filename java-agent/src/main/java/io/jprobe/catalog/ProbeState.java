// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** What the agent has done about a probe; numbers are those of jprobe.v1.ProbeState. */
public enum ProbeState {
  DORMANT(1),
  ARMING(2),
  ARMED(3),
  FAILED(4),
  RETIRED(5),
  THROTTLED(6),

  /** To be woven as soon as the JVM has linked the class, which is when the program uses it. */
  WAITING(7);

  final int number;

  ProbeState(int number) {
    this.number = number;
  }
}
