// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.LongAdder;

/**
 * Calls methods a prime number of times from four threads and counts its calls: the reference for
 * exact counts. Covers overloads, recursion, exceptions and arguments of each simple type.
 *
 * <p>Commands on stdin, one per line: {@code run} makes all calls and prints the counts as a JSON
 * object; {@code exit} exits. Prints "ready" first, when all classes are loaded.
 */
public class PrimeCalls {
  static final int CALLS = 104_729;
  static final int THREADS = 4;

  static final Map<String, LongAdder> tallies = new TreeMap<>();

  static void count(String tally, long amount) {
    LongAdder adder;
    synchronized (tallies) {
      adder = tallies.computeIfAbsent(tally, key -> new LongAdder());
    }
    adder.add(amount);
  }

  /** The only class that the tests select. */
  static class Orders {
    static long place(int index) {
      if (index % 7 == 0) {
        throw new IllegalArgumentException("no order " + index);
      }
      return 3L * index - 100_000;
    }

    static boolean place(long index, String item) {
      if (item == null) {
        throw new IllegalStateException();
      }
      return index % 2 == 0;
    }

    int depth(short levels) {
      return levels <= 0 ? 0 : 1 + depth((short) (levels - 1));
    }

    String label(boolean express, byte zone, char mark) {
      return express ? zone + ":" + mark : null;
    }

    synchronized void touch() {}
  }

  public static void main(String[] arguments) throws Exception {
    new Orders().touch();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null; ) {
      if (command.equals("exit")) {
        return;
      }
      if (command.equals("run")) {
        runAll();
        System.out.println(
            tallies.toString().replace("=", "\":").replace("{", "{\"").replace(", ", ", \""));
      }
    }
  }

  static void runAll() throws InterruptedException {
    tallies.clear();
    Thread[] threads = new Thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
      int first = i;
      threads[i] = new Thread(() -> run(first), "caller-" + i);
      threads[i].start();
    }
    for (Thread thread : threads) {
      thread.join();
    }
  }

  static void run(int first) {
    Orders orders = new Orders();
    for (int index = first; index < CALLS; index += THREADS) {
      call(orders, index);
      if (index % 512 < THREADS) {
        // Lets the collector keep up on a loaded machine, because the counts must be exact.
        pause();
      }
    }
  }

  static void call(Orders orders, int index) {
    count("place.entry", 1);
    count("place.entry.sum", index);
    try {
      count("place.return.sum", Orders.place(index));
      count("place.return", 1);
    } catch (IllegalArgumentException e) {
      count("place.throw", 1);
    }
    if (index % 11 == 0) {
      callOverload(index);
    }
    if (index % 16 == 0) {
      int levels = index % 5;
      count("depth.entry", 1 + levels);
      count("depth.return.sum", orders.depth((short) levels) * (levels + 1) / 2);
    }
    if (index % 13 == 0) {
      callLabel(orders, index);
      orders.touch();
      count("touch.entry", 1);
    }
  }

  static void callOverload(int index) {
    String item = index % 33 == 0 ? null : "item " + index % 10 + " für Rīga";
    count("place2.entry", 1);
    count("place2.entry.sum", -1L - index);
    count(
        "place2.text.bytes",
        item == null ? 0 : item.getBytes(java.nio.charset.StandardCharsets.UTF_8).length);
    try {
      count("place2.true", Orders.place(-1L - index, item) ? 1 : 0);
      count("place2.return", 1);
    } catch (IllegalStateException e) {
      count("place2.throw", 1);
    }
  }

  static void callLabel(Orders orders, int index) {
    boolean express = index % 2 == 0;
    byte zone = (byte) (index % 256 - 128);
    char mark = (char) ('a' + index % 1000);
    count("label.entry", 1);
    count("label.express", express ? 1 : 0);
    count("label.zone.sum", zone);
    count("label.mark.sum", mark);
    String label = orders.label(express, zone, mark);
    count("label.null", label == null ? 1 : 0);
  }

  static void pause() {
    try {
      Thread.sleep(1);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
