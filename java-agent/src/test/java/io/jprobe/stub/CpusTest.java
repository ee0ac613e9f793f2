// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.catalog.PublishedClass;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.Before;
import org.junit.BeforeClass;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Reads quotas of both cgroup versions from files that the test creates. */
public class CpusTest {
  private static final long CORE = 1_000_000_000L;
  private static final String V1 = "7:cpuset:/elsewhere\n4:cpuacct,cpu:%s\n0::/\n";
  private static final String V2 = "0::%s\n";
  private static final String MOUNT_V1 =
      "32 31 0:29 %s %s rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct\n";
  private static final String MOUNT_V2 =
      "41 31 0:38 %s %s rw,relatime shared:4 shared:5 - cgroup2 cgroup2 rw,nsdelegate\n";
  private static final String OTHERS =
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
          + "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
          + "garbage\n\n1 2 3\n";

  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private Cpus cpus;

  @BeforeClass
  public static void loadNative() {
    PublishedClass.loadNative();
  }

  @Before
  public void make() {
    cpus = new Cpus(folder.getRoot().getPath());
  }

  private Path write(String path, String text) throws Exception {
    Path file = Path.of(folder.getRoot() + path);
    Files.createDirectories(file.getParent());
    return Files.writeString(file, text);
  }

  /** Mounts are read again immediately if the process's cgroups have changed. */
  private int processes;

  private void process(String cgroups, String mounts) throws Exception {
    write("/proc/self/cgroup", "9:pids:/" + processes++ + "\n" + cgroups);
    write("/proc/self/mountinfo", OTHERS + mounts);
  }

  private void v1(String directory, long quota, long period) throws Exception {
    write(directory + "/cpu.cfs_quota_us", quota + "\n");
    write(directory + "/cpu.cfs_period_us", period + "\n");
  }

  private void v2(String directory, String text) throws Exception {
    write(directory + "/cpu.max", text + "\n");
  }

  private void assertCores(double cores) {
    assertEquals(cores, cpus.quota() / (double) CORE, 1e-6);
  }

  private void assertNoQuota() {
    assertEquals(Cpus.UNLIMITED, cpus.quota());
  }

  @Test
  public void quotasThatCannotBeReadLimitNothing() throws Exception {
    assertNoQuota();
    write("/proc/self/cgroup", String.format(V2, "/app"));
    assertNoQuota();
    process(String.format(V2, "/app"), String.format(MOUNT_V2, "/", "/sys/fs/cgroup"));
    assertNoQuota();
  }

  @Test
  public void theSmallestQuotaOnThePathToTheRootHolds() throws Exception {
    process(String.format(V1, "/pod/app"), String.format(MOUNT_V1, "/", "/cg"));
    v1("/cg", -1, 100_000);
    v1("/cg/pod", 30_000, 100_000);
    v1("/cg/pod/app", 50_000, 20_000);
    assertCores(0.3);
    v1("/cg/pod/app", 1_000, 20_000);
    assertCores(0.05);
    v1("/cg/pod/app", -1, 20_000);
    v1("/cg/pod", -1, 20_000);
    assertNoQuota();
    v1("/cg", 400_000, 100_000);
    assertCores(4);
  }

  @Test
  public void theSameInVersionTwo() throws Exception {
    process(String.format(V2, "/pod/app"), String.format(MOUNT_V2, "/", "/cg"));
    v2("/cg/pod", "60000 100000");
    v2("/cg/pod/app", "max 100000");
    assertCores(0.6);
    v2("/cg/pod/app", "10000 100000");
    assertCores(0.1);
    v2("/cg/pod", "max 100000");
    v2("/cg/pod/app", "max 100000");
    assertNoQuota();
  }

  @Test
  public void ofBothVersionsTheOneWithTheControllerHolds() throws Exception {
    process(
        "4:cpu:/a\n0::/b\n",
        String.format(MOUNT_V1, "/", "/cg/cpu") + String.format(MOUNT_V2, "/", "/cg/unified"));
    v1("/cg/cpu/a", 20_000, 100_000);
    assertCores(0.2);
    write("/cg/unified/b/cgroup.procs", "");
    assertCores(0.2);
  }

  @Test
  public void ofAContainerItsOwnPartIsMounted() throws Exception {
    process(String.format(V1, "/docker/4711"), String.format(MOUNT_V1, "/docker/4711", "/cg"));
    v1("/cg", 70_000, 100_000);
    assertCores(0.7);
    process(String.format(V1, "/docker/4711/sub"), String.format(MOUNT_V1, "/docker/4711", "/cg"));
    v1("/cg/sub", 30_000, 100_000);
    assertCores(0.3);
  }

  @Test
  public void aPartWithoutTheProcessLimitsNothing() throws Exception {
    process(String.format(V1, "/docker/4711"), String.format(MOUNT_V1, "/docker/471", "/cg"));
    v1("/cg", 70_000, 100_000);
    v1("/cg/docker/4711", 70_000, 100_000);
    v1("/1", 70_000, 100_000);
    assertNoQuota();
  }

  @Test
  public void inANamespaceOfItsOwnTheProcessIsAtTheTop() throws Exception {
    process(String.format(V2, "/"), String.format(MOUNT_V2, "/", "/sys/fs/cgroup"));
    v2("/sys/fs/cgroup", "25000 100000");
    assertCores(0.25);
  }

  @Test
  public void aHiddenPathIsFoundByTheProcessInIt() throws Exception {
    // The mount begins two levels above the namespace's root, as after unshare -C.
    process(String.format(V1, "/sub"), String.format(MOUNT_V1, "/../..", "/cg"));
    v1("/cg", -1, 100_000);
    v1("/cg/pod", 40_000, 100_000);
    v1("/cg/pod/app/sub", -1, 100_000);
    v1("/cg/pod/other/sub", 10_000, 100_000);
    v1("/cg/left", 5_000, 100_000);
    write("/cg/pod/other/sub/cgroup.procs", "1\n12\n");
    assertNoQuota();
    write("/cg/pod/app/sub/cgroup.procs", "1\n" + ProcessHandle.current().pid() + "\n");
    process(String.format(V1, "/sub"), String.format(MOUNT_V1, "/../..", "/cg"));
    assertCores(0.4);
  }

  @Test
  public void aProcessThatLeftItsNamespaceIsFoundBesideItsRoot() throws Exception {
    process(String.format(V1, "/../beside"), String.format(MOUNT_V1, "/..", "/cg"));
    v1("/cg/beside", 30_000, 100_000);
    assertCores(0.3);
    // Nothing above the mount is visible, and no path leaves the mount.
    process(String.format(V1, "/../beside"), String.format(MOUNT_V1, "/", "/cg/beside"));
    v1("/cg/beside", 10_000, 100_000);
    assertNoQuota();
  }

  @Test
  public void aProcessThatIsMovedIsFollowed() throws Exception {
    process(String.format(V2, "/a"), String.format(MOUNT_V2, "/", "/cg"));
    v2("/cg/a", "30000 100000");
    v2("/cg/b", "90000 100000");
    assertCores(0.3);
    write("/proc/self/cgroup", String.format(V2, "/b"));
    assertCores(0.9);
  }

  @Test
  public void mountPointsMayHaveSpacesAndNeedNotBeTheFirst() throws Exception {
    StringBuilder mounts = new StringBuilder();
    for (int i = 0; i < 2_000; i++) {
      mounts.append("99 31 0:38 / /many/" + i + " rw - overlay overlay rw,lowerdir=");
      mounts.append("/layer".repeat(i == 1_000 ? 5_000 : 10)).append('\n');
    }
    process(String.format(V1, "/a"), mounts + String.format(MOUNT_V1, "/", "/with\\040space\\134"));
    v1("/with space\\/a", 30_000, 100_000);
    assertCores(0.3);
  }

  @Test
  public void garbageLimitsNothing() throws Exception {
    process(String.format(V1, "/a"), String.format(MOUNT_V1, "/", "/cg"));
    String[][] all = {
      {"", ""},
      {"none", "100000"},
      {"30000", ""},
      {"30000", "0"},
      {"0", "100000"},
      {"-30000", "100000"},
      {"30000", "-100000"},
      {"99999999999999999999999", "100000"},
      {"9223372036854775807", "1"},
      {"x".repeat(100_000), "100000"},
    };
    for (String[] each : all) {
      write("/cg/a/cpu.cfs_quota_us", each[0]);
      write("/cg/a/cpu.cfs_period_us", each[1]);
      assertNoQuota();
    }
    for (String text : new String[] {"", "max", "30000", "30000 ", "30000 x", "0 0", "x 100000"}) {
      process(String.format(V2, "/a"), String.format(MOUNT_V2, "/", "/cg"));
      write("/cg/a/cpu.max", text);
      assertNoQuota();
    }
    for (String text :
        new String[] {"", "\n", ":", "4:cpu", "4:cpu:", "0::", "x".repeat(100_000)}) {
      write("/proc/self/cgroup", text);
      assertNoQuota();
    }
  }

  @Test
  public void aDirectoryInPlaceOfAFileLimitsNothing() throws Exception {
    process(String.format(V2, "/a"), String.format(MOUNT_V2, "/", "/cg"));
    Files.createDirectories(Path.of(folder.getRoot() + "/cg/a/cpu.max"));
    assertNoQuota();
  }

  @Test
  public void aDeepPathIsClimbedToItsEnd() throws Exception {
    String deep = "/level".repeat(200);
    process(String.format(V2, deep), String.format(MOUNT_V2, "/", "/cg"));
    v2("/cg/level", "30000 100000");
    assertCores(0.3);
    process(String.format(V2, "/level".repeat(900)), String.format(MOUNT_V2, "/", "/cg"));
    assertNoQuota();
  }

  @Test
  public void thisProcessHasCpusAndUsesThem() {
    Cpus real = new Cpus("");
    long available = real.available();
    assertTrue(available + " ns", available > 0);
    assertTrue(available <= Runtime.getRuntime().availableProcessors() * CORE);
    long used = real.used();
    assertTrue(used + " ns", used > 0);
    while (real.used() < used + CORE / 100) {
      // Includes the CPU time of this loop.
    }
  }

  @Test
  public void theAgeOfThisProcessGrowsWithTheClock() throws Exception {
    Cpus real = new Cpus("");
    long begin = System.nanoTime();
    long age = real.age();
    long since = System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime();
    assertEquals(since / 1e3, age / 1e9, 1.0);
    Thread.sleep(50);
    long grown = real.age() - age;
    assertTrue(
        grown + " ns", grown >= 40_000_000 && grown <= System.nanoTime() - begin + 20_000_000);
  }

  @Test
  public void theNameOfAProcessDoesNotConfuseItsAge() throws Exception {
    Path stat = folder.getRoot().toPath().resolve("proc/self/stat");
    Files.createDirectories(stat.getParent());
    Files.writeString(stat, "7 (a) b 1 2) S 1 7 7 0 -1 4 0 0 0 0 1 2 0 0 20 0 1 0 100 4096 7\n");
    long sinceBoot = new Cpus("").age() + startedNanos();
    assertEquals((sinceBoot - 1e9) / 1e9, cpus.age() / 1e9, 0.5);
    Files.writeString(stat, "7 (a");
    assertEquals(0, cpus.age());
  }

  /** Returns when this process was started, in ns since the machine was started. */
  private static long startedNanos() throws IOException {
    String stat = Files.readString(Path.of("/proc/self/stat"));
    return Long.parseLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[19]) * 10_000_000;
  }
}
