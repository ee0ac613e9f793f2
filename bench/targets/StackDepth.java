// SPDX-License-Identifier: Apache-2.0

import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Calls a method at the end of a stack of a given depth, in bursts with pauses, and prints, about
 * every 0.1 s, the time in milliseconds since the epoch and the nanoseconds per call. Arguments:
 * the number of frames, and what the method does: nothing, or take its own stack with what the JDK
 * has.
 */
public class StackDepth {
  static final int CALLS = 200;
  static final int BURSTS = 10;

  static Supplier<Object> taking;
  static Object taken;

  static int work(int number) {
    if (taking != null) {
      taken = taking.get();
    }
    return number + 1;
  }

  /** Calls often from a few places: that many distinct stacks. */
  static int calls() {
    int sum = 0;
    for (int i = 0; i < CALLS / 4; i++) {
      sum += work(i);
      sum += work(i);
      sum += work(i);
      sum += work(i);
    }
    return sum;
  }

  static int deep(int depth) {
    return depth == 0 ? calls() : deep(depth - 1) + 1;
  }

  static Supplier<Object> taking(String how) {
    switch (how) {
      case "throwable":
        return Throwable::new;
      case "walker":
        return () ->
            StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE)
                .walk(frames -> frames.collect(Collectors.toList()));
      default:
        return null;
    }
  }

  public static void main(String[] arguments) throws InterruptedException {
    // main, deep and calls are frames too.
    int depth = Integer.parseInt(arguments[0]) - 4;
    taking = taking(arguments[1]);
    int sum = 0;
    while (sum != 42) {
      long nanos = 0;
      for (int burst = 0; burst < BURSTS; burst++) {
        Thread.sleep(10);
        long start = System.nanoTime();
        sum += deep(depth);
        nanos += System.nanoTime() - start;
      }
      System.out.println(
          System.currentTimeMillis() + " " + (double) nanos / ((long) CALLS * BURSTS));
    }
  }
}
