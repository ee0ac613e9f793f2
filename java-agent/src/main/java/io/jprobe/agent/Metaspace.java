// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryUsage;
import java.util.Locale;

/**
 * Checks that -XX:MaxMetaspaceSize leaves space for woven classes. A program that is out of
 * metaspace cannot load classes, may fail to shut down, and cannot restore woven classes.
 *
 * <p>Created before the first weaving, because it loads JMX, which an untraced program may not
 * need.
 */
final class Metaspace {
  private static final String POOL = "Metaspace";

  /** Minimum to leave to the program, plus what a batch of 64 classes needs temporarily. */
  private static final long MIN_RESERVED = 4 << 20;

  /** One part in this many is left to the program. */
  private static final int RESERVED_PART = 8;

  private static final double MEBI = 1 << 20;

  private final MemoryPoolMXBean pool = find();

  private static MemoryPoolMXBean find() {
    try {
      for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
        if (pool.getName().equals(POOL) && pool.getUsage().getMax() >= 0) {
          return pool;
        }
      }
    } catch (RuntimeException | LinkageError e) {
      // The runtime has no JMX, or a security manager forbids its use.
    }
    return null;
  }

  /** Returns why no class may be woven now; null if there is enough space. */
  String objection() {
    if (pool == null) {
      return null;
    }
    MemoryUsage usage = pool.getUsage();
    long free = usage.getMax() - usage.getUsed();
    long reserved = Math.max(MIN_RESERVED, usage.getMax() / RESERVED_PART);
    if (free >= reserved) {
      return null;
    }
    return String.format(
        Locale.ROOT,
        "only %.1f MiB of -XX:MaxMetaspaceSize are free; jprobe leaves the last %.1f MiB to the"
            + " application",
        free / MEBI,
        reserved / MEBI);
  }
}
