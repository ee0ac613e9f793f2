// SPDX-License-Identifier: Apache-2.0
import java.util.concurrent.atomic.AtomicLong;

/**
 * Threads that do nothing but call a method of a nanosecond, in rounds of 400 calls: what a probe
 * there costs is all that the program could do. Every tenth of a second a line says when it is, how
 * many rounds have been done, and what CPU time all of the process has used. A line on stdin ends
 * it.
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
    // The OperatingSystemMXBean of JDK 21 fails in a cgroup namespace of version 1.
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
