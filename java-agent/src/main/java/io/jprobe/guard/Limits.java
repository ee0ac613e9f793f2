// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.catalog.LimitProbes;
import io.jprobe.layout.SlotLayout;
import java.nio.ByteBuffer;
import java.util.IdentityHashMap;
import java.util.Map;

/**
 * The limit on the cost of all probes of this JVM together, in percent of one core: the agent's
 * option, or what tracers request by {@link LimitProbes} and clients of the gateway. For the
 * watcher thread only.
 */
public final class Limits {
  /** Value of the option if it is not given. */
  public static final int UNSET = -1;

  /** Maximum limit that a client can request, in percent. */
  public static final int MAX_PERCENT = 100_000;

  /** Limit in percent if neither the option nor a tracer sets one. */
  static final int DEFAULT_PERCENT = 50;

  private static final int OFF = LimitProbes.OFF;

  private static final long CORE_NANOS = 1_000_000_000L;

  /**
   * Up to the default limit, probes may use one part in this many of the program's CPU time. Half
   * of the program's work then still gets done while methods are woven, unwoven and recompiled.
   */
  private static final int PARTS = 3;

  /**
   * Cost, in percent of one core, that is always allowed. In a program that mostly waits, probes
   * may cost more than everything else.
   */
  private static final int MIN_PERCENT = 5;

  private final int option;
  private final Map<Object, Integer> requests = new IdentityHashMap<>();

  /**
   * @param option the limit that the JVM was started with, which no tracer can raise; 0 for no
   *     limit
   */
  public Limits(int option) {
    this.option = option;
  }

  /**
   * Replaces what a client of the gateway requests.
   *
   * @param percent the limit; 0 for no limit, {@link #UNSET} for no request
   */
  public void request(Object client, int percent) {
    if (percent == UNSET) {
      requests.remove(client);
    } else {
      requests.put(client, percent);
    }
  }

  /**
   * Returns the limit in force: the lowest that a tracer requests and the option allows; 0 for no
   * limit.
   *
   * @param semaphores those of {@link LimitProbes}
   */
  int percent(ByteBuffer semaphores) {
    int requested = lowestOfClients();
    for (int slot = LimitProbes.count() - 1; slot >= 0; slot--) {
      if (semaphores.getShort(slot * SlotLayout.SEMAPHORE_BYTES) != 0) {
        requested = lower(requested, LimitProbes.percent(slot));
      }
    }
    if (requested == UNSET) {
      return option == UNSET ? DEFAULT_PERCENT : option;
    }
    if (option <= OFF) {
      return requested;
    }
    return requested == OFF ? option : Math.min(requested, option);
  }

  private int lowestOfClients() {
    int lowest = UNSET;
    for (int percent : requests.values()) {
      lowest = lower(lowest, percent);
    }
    return lowest;
  }

  /** Returns the lower of two requests; the first may be {@link #UNSET}. */
  private static int lower(int one, int other) {
    if (one == UNSET || one == OFF) {
      return other;
    }
    return other == OFF ? one : Math.min(one, other);
  }

  /**
   * Returns the allowed cost in ns per second; 0 for no limit.
   *
   * @param percent the limit in force
   * @param available CPU time available to the program, in ns per second
   */
  static long nanosPerSecond(int percent, long available) {
    if (percent == OFF) {
      return 0;
    }
    long nanos =
        percent <= DEFAULT_PERCENT
            ? Math.min(percent * (CORE_NANOS / 100), available / PARTS)
            : percent * (Math.min(available, CORE_NANOS) / 100);
    return Math.max(nanos, 1);
  }

  /**
   * Returns the share of the program's used CPU time that probes may cost, in ns.
   *
   * @param percent the limit in force, other than 0
   * @param used CPU time that the program has used, in ns
   * @param span time in which it has used that, in ns
   */
  static long shareOf(int percent, long used, long span) {
    if (percent > DEFAULT_PERCENT) {
      return Long.MAX_VALUE;
    }
    return Math.max(used / PARTS, span / 100 * MIN_PERCENT);
  }

  /** Returns 120% of the share that probes may cost of used CPU time, in ns. */
  static long farAboveShare(long used) {
    return used / PARTS * 6 / 5;
  }
}
