// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryUsage;
import java.util.Locale;

/**
 * Whether the JVM has room for woven classes where -XX:MaxMetaspaceSize limits it. A program that
 * is out of metaspace can load no class, and may not even end when it is told to; nor can what is
 * woven be restored then.
 *
 * <p>Made when something is to be woven: this is JMX, which no program is to load for us before.
 */
final class Metaspace {
  private static final String POOL = "Metaspace";

  /** The program's own: this and what a batch takes for a moment, 64 classes twice. */
  private static final long LEAST = 4 << 20;

  private static final int SHARE = 8;

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
      // A runtime without JMX, or a security manager: no limit is known.
    }
    return null;
  }

  /** Why nothing is to be woven now; null where there is room. */
  String objection() {
    if (pool == null) {
      return null;
    }
    MemoryUsage usage = pool.getUsage();
    long free = usage.getMax() - usage.getUsed();
    long programs = Math.max(LEAST, usage.getMax() / SHARE);
    if (free >= programs) {
      return null;
    }
    return String.format(
        Locale.ROOT,
        "%.1f MiB are left of -XX:MaxMetaspaceSize, and the last %.1f are the program's",
        free / MEBI,
        programs / MEBI);
  }
}
