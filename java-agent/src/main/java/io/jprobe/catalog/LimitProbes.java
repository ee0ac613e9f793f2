// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.ProbeDefinition;
import java.util.ArrayList;
import java.util.List;

/**
 * The probes by which tracers request an overhead limit. Every tracer can attach to a probe, so
 * each limit has a probe that never fires and is named after it. The kernel withdraws the request
 * when the tracer detaches or dies.
 */
public final class LimitProbes {
  /** The step that requests no limit. */
  public static final int OFF = 0;

  /** Limits in percent of one core, in slot order. */
  private static final int[] STEPS = {
    OFF, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1600,
    3200
  };

  static final String PROVIDER = "jprobe";
  static final String METHOD = "max_overhead";

  private LimitProbes() {}

  /** Returns the number of limit steps, which is the number of probes. */
  public static int count() {
    return STEPS.length;
  }

  /** Returns the limit that the probe of this slot requests, in percent of one core. */
  public static int percent(int slot) {
    return STEPS[slot];
  }

  /** Returns the probes as notes describe them, in slot order. */
  public static List<ProbeDefinition> definitions() {
    List<ProbeDefinition> definitions = new ArrayList<>();
    for (int step : STEPS) {
      definitions.add(
          new ProbeDefinition(PROVIDER, METHOD + "__" + (step == OFF ? "off" : step), List.of()));
    }
    return definitions;
  }
}
