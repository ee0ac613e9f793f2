// SPDX-License-Identifier: Apache-2.0

/**
 * Calls a small method in a loop and prints, every 25 ms, the time in milliseconds since the epoch
 * and the nanoseconds per call. Argument: number of lines to print; 0 prints until it is killed.
 */
public class Calls {
  static final int BATCH = 2_000;

  static int add(int a, int b) {
    return a + b;
  }

  static int batch(int seed) {
    int sum = seed;
    for (int i = 0; i < BATCH; i++) {
      sum = add(sum, i);
    }
    return sum;
  }

  public static void main(String[] arguments) {
    int lines = Integer.parseInt(arguments[0]);
    int sum = 0;
    for (int line = 0; lines == 0 || line < lines; line++) {
      long start = System.nanoTime();
      long calls = 0;
      long nanos;
      do {
        sum = batch(sum);
        calls += BATCH;
        nanos = System.nanoTime() - start;
      } while (nanos < 25_000_000L);
      System.out.println(System.currentTimeMillis() + " " + (double) nanos / calls);
    }
    if (sum == 42) {
      System.out.println();
    }
  }
}
