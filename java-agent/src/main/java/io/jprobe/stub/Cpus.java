// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.charset.StandardCharsets;

/**
 * The CPU time that this process can get, and has got (src/main/c/agent/cpus.c). In native code:
 * the JDK's file systems and management beans are the program's to load first. For one thread.
 */
public class Cpus {
  /** Where nothing limits what the process can get. */
  public static final long UNLIMITED = Long.MAX_VALUE;

  private static final long SECOND_NANOS = 1_000_000_000L;

  private final byte[] root;

  /**
   * @param root what precedes the names of /proc/self/cgroup and of all other files; "", but for
   *     tests
   */
  public Cpus(String root) {
    this.root = root.getBytes(StandardCharsets.UTF_8);
  }

  /**
   * The CPU time, in ns, that the process can get in a second: of the CPUs that it may run on, and
   * what the cgroups that it is in have a quota for. Reads some files.
   */
  public long available() {
    long allowed = Native.cpusAllowed();
    return Math.min(allowed == 0 ? UNLIMITED : allowed * SECOND_NANOS, quota());
  }

  /** What the cgroups allow in a second, in ns. */
  public long quota() {
    return Native.cpuQuota(root);
  }

  /** The CPU time that the process has used since it began, in ns. */
  public long used() {
    return Native.cpuUsed();
  }
}
