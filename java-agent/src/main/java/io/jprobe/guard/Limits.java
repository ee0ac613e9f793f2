// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.ProbeDefinition;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * What all probes of this JVM together may cost, in percent of one core. Tracers ask for a limit by
 * the one thing that every tracer can do: they attach to a probe that never fires and is named
 * after it. The kernel takes the wish back when they detach, or die.
 */
public final class Limits {
  /** What the option is where nobody has given it. */
  public static final int DEFAULT = -1;

  /** The limit where neither the option nor a tracer has said another. */
  static final int USUAL = 50;

  private static final int OFF = 0;

  private static final long CORE_NANOS = 1_000_000_000L;

  /**
   * Of the CPU time of the program, probes take one part of so many, unless somebody asks for more
   * than the usual limit: half of the program's work is then left also while it is woven, unwoven
   * and compiled anew.
   */
  private static final int PARTS = 3;

  /**
   * What a program that uses little may spend in any case, in percent of one core: of one that
   * waits most of the time, probes may take more than all else.
   */
  private static final int LEAST_PERCENT = 5;

  /** Each has a probe, in this order. */
  static final int[] RUNGS = {
    OFF, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1600,
    3200
  };

  static final String PROVIDER = "jprobe";
  static final String METHOD = "max_overhead";

  private final int option;

  /**
   * @param option what the JVM was started with: no tracer gets more; 0 for no limit
   */
  public Limits(int option) {
    this.option = option;
  }

  static List<ProbeDefinition> definitions() {
    List<ProbeDefinition> definitions = new ArrayList<>();
    for (int rung : RUNGS) {
      definitions.add(
          new ProbeDefinition(PROVIDER, METHOD + "__" + (rung == OFF ? "off" : rung), List.of()));
    }
    return definitions;
  }

  /**
   * The limit in force: the least that a tracer wants and the option allows; 0 for none.
   *
   * @param semaphores of the probes
   */
  int percent(ByteBuffer semaphores) {
    int wanted = DEFAULT;
    for (int i = RUNGS.length - 1; i >= 0; i--) {
      boolean isLeast = RUNGS[i] != OFF || wanted == DEFAULT;
      if (semaphores.getShort(i * Short.BYTES) != 0 && isLeast) {
        wanted = RUNGS[i];
      }
    }
    if (wanted == DEFAULT) {
      return option == DEFAULT ? USUAL : option;
    }
    if (option <= OFF) {
      return wanted;
    }
    return wanted == OFF ? option : Math.min(wanted, option);
  }

  /**
   * What may be spent in a second, in ns; 0 for no limit.
   *
   * @param percent the limit in force
   * @param available the CPU time that the program can get in a second, in ns
   */
  static long nanosPerSecond(int percent, long available) {
    if (percent == OFF) {
      return 0;
    }
    long most =
        percent <= USUAL
            ? Math.min(percent * (CORE_NANOS / 100), available / PARTS)
            : percent * (Math.min(available, CORE_NANOS) / 100);
    return Math.max(most, 1);
  }

  /**
   * What may be spent of the CPU time that a program has used.
   *
   * @param percent the limit in force, other than 0
   * @param used in ns
   * @param span in which it has used that, in ns
   */
  static long shareOf(int percent, long used, long span) {
    if (percent > USUAL) {
      return Long.MAX_VALUE;
    }
    return Math.max(used / PARTS, span / 100 * LEAST_PERCENT);
  }

  /** What is a fifth more than probes may take of CPU time that was used, in ns. */
  static long farAboveShare(long used) {
    return used / PARTS * 6 / 5;
  }
}
