// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.CountDownLatch;

/**
 * Calls that last as long as the test requires: code that was woven when a call began may be
 * restored before it ends.
 *
 * <p>Commands on stdin, one per line: {@code begin} begins a call in each of four threads and
 * prints "begun"; {@code end} ends the calls and prints the sum of their results. Prints "ready"
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
