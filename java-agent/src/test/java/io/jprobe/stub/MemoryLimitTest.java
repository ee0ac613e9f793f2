// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import static org.junit.Assert.assertEquals;

import io.jprobe.catalog.PublishedClass;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.Before;
import org.junit.BeforeClass;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Reads memory limits of both cgroup versions from files that the test creates. */
public class MemoryLimitTest {
  private static final String MOUNT_V1 =
      "32 31 0:29 / /v1 rw,relatime shared:7 - cgroup cgroup rw,memory\n"
          + "33 31 0:30 / /cpu rw,relatime shared:8 - cgroup cgroup rw,cpu,cpuacct\n";
  private static final String MOUNT_V2 =
      "41 31 0:38 / /v2 rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private MemoryLimit memory;

  @BeforeClass
  public static void loadNative() {
    PublishedClass.loadNative();
  }

  @Before
  public void make() {
    memory = new MemoryLimit(folder.getRoot().getPath());
  }

  private void write(String path, String text) throws Exception {
    Path file = Path.of(folder.getRoot() + path);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
  }

  private void v1(String directory, long limit, long used, String stat) throws Exception {
    write(directory + "/memory.limit_in_bytes", limit + "\n");
    write(directory + "/memory.usage_in_bytes", used + "\n");
    write(directory + "/memory.stat", stat);
  }

  private void v2(String directory, String limit, long used, String stat) throws Exception {
    write(directory + "/memory.max", limit + "\n");
    write(directory + "/memory.current", used + "\n");
    write(directory + "/memory.stat", stat);
  }

  @Test
  public void withoutCgroupsThereIsNoLimit() {
    assertEquals(MemoryLimit.UNLIMITED, memory.headroom());
  }

  @Test
  public void theFewestBytesOnThePathToTheRootCount() throws Exception {
    write("/proc/self/cgroup", "0::/pod/app\n");
    write("/proc/self/mountinfo", MOUNT_V2);
    v2("/v2/pod/app", "max", 700, "anon 700\n");
    assertEquals(MemoryLimit.UNLIMITED, memory.headroom());
    v2("/v2/pod", "1000", 900, "anon 900\n");
    assertEquals(100, memory.headroom());
    v2("/v2/pod/app", "730", 700, "anon 700\n");
    assertEquals(30, memory.headroom());
    v2("/v2/pod/app", "600", 700, "anon 700\n");
    assertEquals(0, memory.headroom());
  }

  @Test
  public void thePageCacheOfFilesCountsAsFree() throws Exception {
    write("/proc/self/cgroup", "0::/app\n");
    write("/proc/self/mountinfo", MOUNT_V2);
    String stat = "anon 100\nfile 600\nshmem 400\ninactive_file 150\nactive_file 50\n";
    v2("/v2/app", "1000", 700, stat);
    assertEquals(500, memory.headroom());
    v2("/v2/app", "1000", 700, "inactive_file 5000\nactive_file garbage\n");
    assertEquals("more than there is", 1000, memory.headroom());
  }

  @Test
  public void version1CountsTheCacheOfCgroupsBelowToo() throws Exception {
    write("/proc/self/cgroup", "5:cpu,cpuacct:/other\n4:memory:/app\n0::/\n");
    write("/proc/self/mountinfo", MOUNT_V1 + MOUNT_V2);
    v1("/v1", Long.MAX_VALUE / 4096 * 4096, 9_000, "");
    v1("/v1/app", 1000, 700, "inactive_file 1\ntotal_inactive_file 150\ntotal_active_file 50\n");
    assertEquals(500, memory.headroom());
  }
}
