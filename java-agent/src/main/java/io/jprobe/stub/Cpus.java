// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.charset.StandardCharsets;

/**
 * CPU time that this process may use and has used (src/main/c/agent/cpus.c). Implemented in native
 * code, because the agent must not load the JDK's file systems and management beans before the
 * program does. For one thread.
 */
public class Cpus {
  /** Returned if no quota applies. */
  public static final long UNLIMITED = Long.MAX_VALUE;

  private static final long SECOND_NANOS = 1_000_000_000L;

  private final byte[] root;

  /**
   * @param root precedes the names of /proc/self/cgroup and of all other files; "", except in tests
   */
  public Cpus(String root) {
    this.root = root.getBytes(StandardCharsets.UTF_8);
  }

  /**
   * Returns the CPU time in ns per second that the process may use, limited by its CPU affinity and
   * the quotas of its cgroups. Reads several files.
   */
  public long available() {
    long allowed = Native.cpusAllowed();
    return Math.min(allowed == 0 ? UNLIMITED : allowed * SECOND_NANOS, quota());
  }

  /** Returns the CPU time in ns per second that the cgroups allow. */
  public long quota() {
    return Native.cpuQuota(root);
  }

  /** Returns the CPU time in ns that the process has used since its start. */
  public long used() {
    return Native.cpuUsed();
  }

  /** Returns the time in ns since the process was started; 0 if it is unknown. */
  public long age() {
    return Native.processAge(root);
  }
}
