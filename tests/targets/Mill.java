// SPDX-License-Identifier: Apache-2.0
import java.util.concurrent.atomic.AtomicLong;

/**
 * Threads that only call a method of 1 ns, in rounds of 400 calls, so that the cost of a probe
 * dominates. Prints the time, the number of finished rounds and the CPU time of the process every
 * 0.1 s, in ns. Exits after a line on stdin.
 */
public final class Mill extends Thread {
  private static final int CALLS_A_ROUND = 400;

  private final AtomicLong rounds = new AtomicLong();
  private volatile int result;

  private Mill() {
    setDaemon(true);
  }

  static int grain(int x) {
    return x * 31 + 7;
  }

  static int round(int x) {
    int a = x;
    for (int i = 0; i < CALLS_A_ROUND; i++) {
      a = grain(a) ^ a >>> 3;
    }
    return a;
  }

  @Override
  public void run() {
    int sum = 0;
    for (long done = 1; true; done++) {
      sum += round(sum);
      rounds.lazySet(done);
      result = sum;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Mill[] mills = new Mill[Integer.parseInt(arguments[0])];
    for (int i = 0; i < mills.length; i++) {
      mills[i] = new Mill();
      mills[i].start();
    }
    // With JDK 21, OperatingSystemMXBean fails in a cgroup v1 namespace.
    ProcessHandle process = ProcessHandle.current();
    System.out.println("ready");
    while (System.in.available() == 0) {
      long rounds = 0;
      for (Mill mill : mills) {
        rounds += mill.rounds.get();
      }
      long cpu = process.info().totalCpuDuration().orElseThrow().toNanos();
      System.out.println("at " + System.nanoTime() + " " + rounds + " " + cpu);
      Thread.sleep(100);
    }
  }
}
