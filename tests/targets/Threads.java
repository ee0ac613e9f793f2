// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * Starts threads up to the limit of the process, or up to {@link #MOST}. Commands on stdin, one per
 * line, each answered with a line: {@code fill} starts the threads; {@code call} calls {@link #add}
 * five times. Exits at the end of stdin.
 */
public class Threads {
  private static final int MOST = 500;

  static int add(int sum, int number) {
    return sum + number;
  }

  private static void sleep() {
    try {
      Thread.sleep(Long.MAX_VALUE);
    } catch (InterruptedException e) {
      // The thread ends.
    }
  }

  private static String fill() {
    for (int count = 0; count < MOST; count++) {
      Thread thread = new Thread(null, Threads::sleep, "filling", 128 << 10);
      thread.setDaemon(true);
      try {
        thread.start();
      } catch (OutOfMemoryError e) {
        return "filled by " + count;
      }
    }
    return "not filled";
  }

  public static void main(String[] arguments) throws Exception {
    add(0, 0);
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = commands.readLine()) != null; ) {
      if (line.equals("fill")) {
        System.out.println(fill());
      } else {
        int sum = 0;
        for (int number = 1; number <= 5; number++) {
          sum = add(sum, number);
        }
        System.out.println("called " + sum);
      }
    }
  }
}
