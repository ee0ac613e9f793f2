// SPDX-License-Identifier: Apache-2.0

/**
 * Computes Fibonacci numbers by recursion: a program that does little but call. Prints, about every
 * 0.2 s, the time in milliseconds since the epoch and the nanoseconds per call. It computes in
 * bursts with pauses, so that no reader of events falls behind.
 */
public class Seed {
  static final int NUMBER = 20;
  static final int CALLS = 21_891;
  static final int BURSTS = 10;

  static int fib(int number) {
    return number < 2 ? number : fib(number - 1) + fib(number - 2);
  }

  public static void main(String[] arguments) throws InterruptedException {
    int sum = 0;
    for (int i = 0; i < 2_000; i++) {
      sum += fib(NUMBER);
    }
    while (sum != 42) {
      long nanos = 0;
      for (int burst = 0; burst < BURSTS; burst++) {
        Thread.sleep(20);
        long start = System.nanoTime();
        sum += fib(NUMBER);
        nanos += System.nanoTime() - start;
      }
      System.out.println(
          System.currentTimeMillis() + " " + (double) nanos / ((long) CALLS * BURSTS));
    }
  }
}
