// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.CountDownLatch;

/**
 * A call that takes as long as it is told to: what was woven when it began may be no more when it
 * ends.
 *
 * <p>Commands on stdin, a line each: {@code begin} has four threads begin a call, answered by
 * "begun"; {@code end} lets them end, answered by the sum of what they returned. "ready" is printed
 * first.
 */
public class Waits {
  static final int THREADS = 4;

  static long hold(CountDownLatch begun, CountDownLatch ended, long value) throws Exception {
    begun.countDown();
    ended.await();
    return value;
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    while (commands.readLine() != null) {
      CountDownLatch begun = new CountDownLatch(THREADS);
      CountDownLatch ended = new CountDownLatch(1);
      long[] returned = new long[THREADS];
      Thread[] threads = new Thread[THREADS];
      for (int i = 0; i < THREADS; i++) {
        int number = i;
        threads[i] =
            new Thread(
                () -> {
                  try {
                    returned[number] = hold(begun, ended, number + 1);
                  } catch (Exception e) {
                    e.printStackTrace();
                  }
                });
        threads[i].start();
      }
      begun.await();
      System.out.println("begun");
      commands.readLine();
      ended.countDown();
      long sum = 0;
      for (int i = 0; i < THREADS; i++) {
        threads[i].join();
        sum += returned[i];
      }
      System.out.println("sum " + sum);
    }
  }
}
