// SPDX-License-Identifier: Apache-2.0

import java.util.Scanner;

/**
 * Threads that call one method without end, each about 250 times per second, and number their
 * calls. Prints "ready" when all have called it. Exits after a line on stdin.
 */
public class Crowd {
  private static final int THREADS = 8;
  private static final int BURST = 5;

  /** Called with the number of the thread, and with 0, 1, 2 and so on. */
  static long step(int thread, long call) {
    if (call % 3 == 0 && thread < 0) {
      throw new IllegalArgumentException();
    }
    return thread + call;
  }

  private static void callForever(int thread) {
    long sum = 0;
    for (long call = 0; true; call++) {
      sum += step(thread, call);
      if (call % BURST == 0) {
        pause(sum);
      }
    }
  }

  private static void pause(long sum) {
    try {
      Thread.sleep(sum == Long.MIN_VALUE ? 0 : 20);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  public static void main(String[] arguments) {
    for (int i = 0; i < THREADS; i++) {
      int number = i;
      step(number, -1);
      Thread thread = new Thread(() -> callForever(number), "crowd-" + number);
      thread.setDaemon(true);
      thread.start();
    }
    System.out.println("ready");
    new Scanner(System.in).nextLine();
  }
}
