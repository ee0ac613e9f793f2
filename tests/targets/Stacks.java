// SPDX-License-Identifier: Apache-2.0

import java.util.Scanner;

/**
 * Calls traced methods from known places, and says for each call what the JVM says its stack is.
 * Each line of input is a command.
 */
public class Stacks {
  static int calls;
  static Throwable expected;

  static int work(int number) {
    expected = new Throwable();
    calls++;
    return number;
  }

  /** Fires the traced method with a stack of this depth above this method. */
  static int deep(int depth) {
    return depth == 0 ? work(depth) : deep(depth - 1) + 1;
  }

  static int left(int depth) {
    return deep(depth);
  }

  static int right(int depth) {
    return deep(depth);
  }

  /** Recurses until the stack overflows, with a traced call at each level. */
  static int overflow(int depth) {
    work(depth);
    return overflow(depth + 1) + 1;
  }

  /** Has so many distinct stacks: the bits of the number choose who calls whom. */
  static int ways(int number, int bits) {
    if (bits == 0) {
      return work(number);
    }
    return (number & 1) == 0 ? even(number >> 1, bits - 1) : odd(number >> 1, bits - 1);
  }

  static int even(int number, int bits) {
    return ways(number, bits);
  }

  static int odd(int number, int bits) {
    return ways(number, bits);
  }

  static void print() {
    StringBuilder line = new StringBuilder("expected");
    for (StackTraceElement frame : expected.getStackTrace()) {
      line.append(' ').append(frame.getClassName()).append('.').append(frame.getMethodName());
      line.append('(').append(frame.getFileName()).append(':').append(frame.getLineNumber());
      line.append(')');
    }
    System.out.println(line);
  }

  /** Called by reflection, so that this class runs on a JDK without virtual threads. */
  static void inVirtualThread() throws Exception {
    Thread thread =
        (Thread)
            Thread.class
                .getMethod("startVirtualThread", Runnable.class)
                .invoke(null, (Runnable) new InThread());
    thread.join();
  }

  static final class InThread implements Runnable {
    @Override
    public void run() {
      right(2);
    }
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("ready");
    Scanner in = new Scanner(System.in);
    while (in.hasNextLine()) {
      String[] command = in.nextLine().split(" ");
      // In a method of its own: this one runs on while the class is woven.
      run(command);
      System.out.println("did " + command[0] + " " + calls);
    }
  }

  static void run(String[] command) throws Exception {
    switch (command[0]) {
      case "left":
        left(Integer.parseInt(command[1]));
        print();
        break;
      case "right":
        right(Integer.parseInt(command[1]));
        print();
        break;
      case "overflow":
        try {
          overflow(0);
        } catch (StackOverflowError e) {
          System.out.println("overflowed");
        }
        break;
      case "ways":
        for (int i = 0; i < 1 << Integer.parseInt(command[1]); i++) {
          ways(i, Integer.parseInt(command[1]));
        }
        break;
      case "virtual":
        inVirtualThread();
        break;
      case "once":
        left(1);
        System.exit(0);
        break;
      default:
        throw new IllegalArgumentException(command[0]);
    }
  }
}
