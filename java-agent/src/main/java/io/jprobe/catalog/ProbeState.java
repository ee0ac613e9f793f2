// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** What the agent has done about a probe; numbers are those of jprobe.v1.ProbeState. */
public enum ProbeState {
  DORMANT(1),
  ARMING(2),
  ARMED(3),
  FAILED(4),
  RETIRED(5),
  THROTTLED(6);

  final int number;

  ProbeState(int number) {
    this.number = number;
  }
}
