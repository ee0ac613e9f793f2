// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/**
 * Calls methods that call each other: with recursion, exceptions that are caught inside and
 * outside, and, in virtual threads, waiting in the middle.
 *
 * <p>Commands on stdin, one per line: {@code run}, and {@code virtual} with a number of threads,
 * and {@code clean}, which collects garbage. Prints "done" after each, and "ready" first.
 */
public class Nested {
  static class Shop {
    static volatile int sink;

    /** Calls check, reserve twice, and fails inside. */
    static int order(int amount) {
      check(amount);
      int found = reserve(amount, 3);
      try {
        pay(amount);
      } catch (IllegalStateException e) {
        found++;
      }
      return found + reserve(amount, 1);
    }

    static void check(int amount) {
      sink += amount;
    }

    /** Calls itself. */
    static int reserve(int amount, int depth) {
      if (depth == 0) {
        return amount;
      }
      check(depth);
      return 1 + reserve(amount, depth - 1);
    }

    /** Throws what a call within has thrown. */
    static void pay(int amount) {
      charge(amount);
    }

    static void charge(int amount) {
      throw new IllegalStateException("no funds for " + amount);
    }

    /** Waits in the middle: a virtual thread may go on at another carrier. */
    static int deliver(int index) throws InterruptedException {
      check(index);
      step(index, 2);
      return reserve(index, 2);
    }

    /** Pauses the JVM in the middle. */
    static int clean(int count) {
      System.gc();
      return count;
    }

    static void step(int index, int millis) throws InterruptedException {
      Thread.sleep(millis);
      check(index);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Shop.order(1);
    Shop.deliver(1);
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      if (line.startsWith("virtual ")) {
        deliverAll(Integer.parseInt(line.substring(8)));
      } else if (line.equals("clean")) {
        Shop.clean(3);
      } else {
        for (int i = 0; i < 50; i++) {
          Shop.order(i);
        }
      }
      System.out.println("done");
    }
  }

  private static void deliverAll(int count) throws Exception {
    CountDownLatch left = new CountDownLatch(count);
    List<Runnable> tasks = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int index = i;
      tasks.add(
          () -> {
            try {
              Shop.deliver(index);
            } catch (InterruptedException e) {
              throw new IllegalStateException(e);
            } finally {
              left.countDown();
            }
          });
    }
    for (Runnable task : tasks) {
      Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, task);
    }
    left.await();
  }
}
