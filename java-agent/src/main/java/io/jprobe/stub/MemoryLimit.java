// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.charset.StandardCharsets;

/**
 * The limit on the memory of this process's cgroups (src/main/c/agent/memory_limit.c). For the
 * watcher thread only.
 */
public class MemoryLimit {
  /** Returned if no limit applies. */
  public static final long UNLIMITED = Long.MAX_VALUE;

  private final byte[] root;

  /**
   * @param root precedes the names of /proc/self/cgroup and of all other files; "", except in tests
   */
  public MemoryLimit(String root) {
    this.root = root.getBytes(StandardCharsets.UTF_8);
  }

  /**
   * Returns the bytes that can still be used before the kernel kills a process of the cgroup. The
   * page cache counts as free. Reads several files.
   */
  public long headroom() {
    return Native.memoryHeadroom(root);
  }
}
