// SPDX-License-Identifier: Apache-2.0

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Scanner;

/**
 * Calls a small method in bursts, with pauses in which a reader of events can keep up, and prints
 * every 0.2 s the time in milliseconds since the epoch and the nanoseconds of CPU time per call: of
 * the fastest burst of each thread, on average over the threads. Other work on the machine disturbs
 * the fastest burst least.
 *
 * <p>Arguments: what to call, and the number of threads. "add": a method that adds two ints;
 * "timed": the same between two clock readings, whose differences are summed up; "text": a method
 * that returns a string of 24 bytes.
 *
 * <p>With "rate" and a number of rounds of other work beside each call instead, each line of stdin
 * has a number of calls a second, or 0 for no limit, and for how many seconds; prints the number of
 * calls and the seconds when they are over. A round takes about 2 ns.
 */
public final class Lanes extends Thread {
  private static final int CALLS = 10_000;
  private static final long PAUSE_MILLIS = 10;
  private static final long REPORT_MILLIS = 200;
  private static final long SECOND_NANOS = 1_000_000_000;
  private static final int TICKS_PER_SECOND = 1_000;
  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
  private static final String TEXT = "select total from orders";

  /** Keeps the compilers from removing what is summed up. */
  static volatile long sink;

  private final String what;
  private double fastest = Double.MAX_VALUE;

  private Lanes(String what) {
    this.what = what;
    setDaemon(true);
  }

  static int add(int a, int b) {
    return a + b;
  }

  static String text(int index) {
    return index < 0 ? null : TEXT;
  }

  private static void adds(int calls) {
    int sum = 0;
    for (int i = 0; i < calls; i++) {
      sum = add(sum, i);
    }
    sink = sum;
  }

  private static void worksAndAdds(int calls, int rounds) {
    long x = sink | 1;
    int sum = 0;
    for (int i = 0; i < calls; i++) {
      for (int round = 0; round < rounds; round++) {
        x ^= x << 13;
        x ^= x >>> 7;
        x ^= x << 17;
      }
      sum = add(sum, (int) x);
    }
    sink = sum;
  }

  private static void timed(int calls) {
    int sum = 0;
    long nanos = 0;
    for (int i = 0; i < calls; i++) {
      long begun = System.nanoTime();
      sum = add(sum, i);
      nanos += System.nanoTime() - begun;
    }
    sink = sum + nanos;
  }

  private static void texts(int calls) {
    long sum = 0;
    for (int i = 0; i < calls; i++) {
      sum += text(i).length();
    }
    sink = sum;
  }

  private void burst() {
    switch (what) {
      case "timed":
        timed(CALLS);
        break;
      case "text":
        texts(CALLS);
        break;
      default:
        adds(CALLS);
    }
  }

  @Override
  public void run() {
    while (true) {
      long begun = THREADS.getCurrentThreadCpuTime();
      burst();
      double nanos = (double) (THREADS.getCurrentThreadCpuTime() - begun) / CALLS;
      synchronized (this) {
        fastest = Math.min(fastest, nanos);
      }
      pause(PAUSE_MILLIS);
    }
  }

  private synchronized double takeFastest() {
    double taken = fastest;
    fastest = Double.MAX_VALUE;
    return taken;
  }

  private static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void report(Lanes[] lanes) {
    while (true) {
      pause(REPORT_MILLIS);
      double sum = 0;
      for (Lanes lane : lanes) {
        sum += lane.takeFastest();
      }
      System.out.println(System.currentTimeMillis() + " " + sum / lanes.length);
    }
  }

  /** Makes the calls of each millisecond at its start, and catches up with those that are late. */
  private static long calls(long perSecond, double seconds, int rounds) {
    long begun = System.nanoTime();
    long end = begun + (long) (seconds * SECOND_NANOS);
    long made = 0;
    for (long now = begun; now < end; now = System.nanoTime()) {
      long due = perSecond == 0 ? made + CALLS : (now - begun) / 1_000 * perSecond / 1_000_000;
      if (due > made) {
        int calls = (int) Math.min(due - made, CALLS);
        worksAndAdds(calls, rounds);
        made += calls;
      } else {
        pause(1_000 / TICKS_PER_SECOND);
      }
    }
    return made;
  }

  private static void callAtRates(int rounds) {
    Scanner wanted = new Scanner(System.in);
    while (wanted.hasNext()) {
      long perSecond = wanted.nextLong();
      double seconds = wanted.nextDouble();
      long begun = System.nanoTime();
      long made = calls(perSecond, seconds, rounds);
      System.out.println(
          "made " + made + " " + (double) (System.nanoTime() - begun) / SECOND_NANOS);
    }
  }

  public static void main(String[] arguments) {
    System.out.println("ready");
    if (arguments[0].equals("rate")) {
      callAtRates(Integer.parseInt(arguments[1]));
      return;
    }
    Lanes[] lanes = new Lanes[Integer.parseInt(arguments[1])];
    for (int i = 0; i < lanes.length; i++) {
      lanes[i] = new Lanes(arguments[0]);
      lanes[i].start();
    }
    report(lanes);
  }
}
