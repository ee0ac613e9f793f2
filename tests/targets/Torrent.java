// SPDX-License-Identifier: Apache-2.0
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Threads that each call a small method about 10 million times per second, and one thread that
 * calls another method 100 times per second. A number on stdin changes the first rate, in calls per
 * second. Prints the time, the CPU time of the threads and the number of calls of each method every
 * 0.1 s. Exits after an empty line.
 */
public final class Torrent extends Thread {
  private static final int BURST = 1_000;
  private static final int BURSTS_A_SECOND_WHEN_SLOW = 100;
  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
  private static final AtomicLong TRICKLED = new AtomicLong();

  private static volatile long rate = Long.MAX_VALUE;

  private final AtomicLong drops = new AtomicLong();
  private long sum;

  private Torrent() {
    setDaemon(true);
  }

  static long drop(long seed) {
    long x = seed;
    for (int i = 0; i < 60; i++) {
      x ^= x << 13;
      x ^= x >>> 7;
      x ^= x << 17;
    }
    return x;
  }

  static void trickle() {
    TRICKLED.incrementAndGet();
  }

  /**
   * A separate method, so that the JIT compiles it as a whole, like most hot code, and not by
   * on-stack replacement.
   */
  private void burst(int size) {
    for (int i = 0; i < size; i++) {
      sum += drop(sum + i);
    }
  }

  @Override
  public void run() {
    while (true) {
      boolean isFast = rate == Long.MAX_VALUE;
      int size = isFast ? BURST : (int) (rate / BURSTS_A_SECOND_WHEN_SLOW);
      burst(size);
      drops.lazySet(drops.get() + size);
      if (!isFast) {
        pause(1_000 / BURSTS_A_SECOND_WHEN_SLOW);
      }
    }
  }

  private static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void trickleForever() {
    while (true) {
      trickle();
      pause(10);
    }
  }

  private static void report(Torrent[] torrents) {
    while (true) {
      long drops = 0;
      long cpu = 0;
      for (Torrent torrent : torrents) {
        // The two values differ by less than a burst.
        cpu += THREADS.getThreadCpuTime(torrent.getId());
        drops += torrent.drops.get();
      }
      System.out.println("at " + System.nanoTime() + " " + cpu + " " + drops + " " + TRICKLED);
      pause(100);
    }
  }

  private static void startDaemon(Runnable work) {
    Thread thread = new Thread(work);
    thread.setDaemon(true);
    thread.start();
  }

  public static void main(String[] arguments) throws Exception {
    Torrent[] torrents = new Torrent[Integer.parseInt(arguments[0])];
    for (int i = 0; i < torrents.length; i++) {
      torrents[i] = new Torrent();
      torrents[i].start();
    }
    startDaemon(Torrent::trickleForever);
    startDaemon(() -> report(torrents));
    System.out.println("ready");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = in.readLine()) != null && !line.isEmpty(); ) {
      rate = Long.parseLong(line);
    }
  }
}
