// SPDX-License-Identifier: Apache-2.0
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Calls a small method some ten million times a second, and a quiet one a hundred times. Says every
 * tenth of a second how much CPU it has used and how often both were called.
 */
public final class Torrent {
  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
  private static final AtomicLong QUIET = new AtomicLong();

  private static final int BURST = 1_000;

  private static long sum;

  private Torrent() {}

  static long drop(long seed) {
    long x = seed;
    for (int i = 0; i < 60; i++) {
      x ^= x << 13;
      x ^= x >>> 7;
      x ^= x << 17;
    }
    return x;
  }

  static void quiet() {
    QUIET.incrementAndGet();
  }

  private static void trickle() {
    while (true) {
      quiet();
      try {
        Thread.sleep(10);
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  /** Is compiled as a whole, as what is hot usually is, and not while it runs. */
  private static void burst() {
    for (int i = 0; i < BURST; i++) {
      sum += drop(sum + i);
    }
  }

  public static void main(String[] arguments) {
    Thread other = new Thread(Torrent::trickle, "trickle");
    other.setDaemon(true);
    other.start();
    System.out.println("ready");
    long drops = 0;
    long next = System.nanoTime();
    while (true) {
      burst();
      drops += BURST;
      long now = System.nanoTime();
      if (now - next >= 0) {
        next += 100_000_000;
        System.out.println(
            "at " + now + " " + THREADS.getCurrentThreadCpuTime() + " " + drops + " " + QUIET);
      }
    }
  }
}
