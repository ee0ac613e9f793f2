// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.lang.reflect.Method;
import java.util.concurrent.CountDownLatch;

/**
 * Virtual threads that sleep in a traced method and measure its duration themselves. Uses
 * reflection, because JDKs without virtual threads compile it too.
 *
 * <p>Arguments: the number of threads and a file. Commands on stdin, one per line: {@code run}
 * makes one call in each thread, writes one line per thread to the file, and prints "done"; {@code
 * exit} exits. Prints "ready" first.
 */
public class Sleepers {
  /** Two methods of this class are traced. */
  static class Bed {
    final long[] inside;

    Bed(int threads) {
      inside = new long[threads];
    }

    /** Traced with its arguments and return value, without captures. */
    int sleep(int index, int millis) throws InterruptedException {
      return rest(index, millis);
    }

    /** Traced with captured paths. */
    int nap(int index, int millis) throws InterruptedException {
      return rest(index, millis);
    }

    private int rest(int index, int millis) throws InterruptedException {
      long begin = System.nanoTime();
      Thread.sleep(millis);
      inside[index] = System.nanoTime() - begin;
      return index;
    }
  }

  public static void main(String[] arguments) throws Exception {
    int threads = Integer.parseInt(arguments[0]);
    Bed bed = new Bed(threads);
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {
      run(bed, threads, arguments[1]);
      System.out.println("done");
    }
  }

  private static void run(Bed bed, int threads, String file) throws Exception {
    Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
    Class<?> type = Class.forName("java.lang.Thread$Builder$OfVirtual");
    builder = type.getMethod("name", String.class, long.class).invoke(builder, "sleeper-", 0L);
    Method start = type.getMethod("start", Runnable.class);
    long[] ids = new long[threads];
    long[] around = new long[threads];
    CountDownLatch done = new CountDownLatch(threads);
    for (int i = 0; i < threads; i++) {
      int index = i;
      Runnable call =
          () -> {
            ids[index] = Thread.currentThread().getId();
            around[index] = call(bed, index);
            done.countDown();
          };
      start.invoke(builder, call);
    }
    done.await();
    try (PrintWriter lines = new PrintWriter(file)) {
      for (int i = 0; i < threads; i++) {
        lines.println(ids[i] + " " + i + " " + millis(i) + " " + bed.inside[i] + " " + around[i]);
      }
    }
  }

  private static int millis(int index) {
    return 1 + index % 10;
  }

  /** Returns the duration of a call in ns. */
  private static long call(Bed bed, int index) {
    try {
      long begin = System.nanoTime();
      int result = index % 2 == 0 ? bed.sleep(index, millis(index)) : bed.nap(index, millis(index));
      long end = System.nanoTime();
      return result == index ? end - begin : -1;
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
