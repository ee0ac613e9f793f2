// SPDX-License-Identifier: Apache-2.0

import static io.jprobe.stapsdt.ArgumentType.INT64;

import com.sun.management.ThreadMXBean;
import io.jprobe.stapsdt.Probe;
import io.jprobe.stapsdt.Provider;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Fires a probe with three longs in a loop and prints, every 25 ms until it is killed, the time in
 * milliseconds since the epoch, and the nanoseconds and allocated bytes per firing. Arguments:
 * "none" (only the loop), "jprobe", or "boxed" with the library of boxed.c, which fires the same
 * stub with values from an array of objects.
 */
public class Fires {
  static final int BATCH = 2_000;
  static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  interface Batch {
    long run(long seed);
  }

  static native long stub(String library, String probe);

  static native void fire(long stub, Object... values);

  public static void main(String[] arguments) throws Exception {
    Provider provider = Provider.create("bench");
    Probe fired = provider.addProbe("fired", INT64, INT64, INT64);
    provider.load();
    switch (arguments[0]) {
      case "none":
        measure(Fires::none);
        break;
      case "jprobe":
        measure(seed -> jprobe(fired, seed));
        break;
      default:
        System.load(arguments[1]);
        long stub = stub(library(), "fired");
        measure(seed -> boxed(stub, seed));
    }
  }

  static String library() throws Exception {
    return Files.lines(Path.of("/proc/self/maps"))
        .filter(line -> line.matches(".*/jprobe-\\d+-[0-9a-f]{16}/\\d+\\.so"))
        .map(line -> line.substring(line.indexOf('/')))
        .findFirst()
        .get();
  }

  static long none(long seed) {
    long sum = seed;
    for (int i = 0; i < BATCH; i++) {
      sum += i ^ sum;
    }
    return sum;
  }

  static long jprobe(Probe fired, long seed) {
    long sum = seed;
    for (int i = 0; i < BATCH; i++) {
      sum += i ^ sum;
      fired.fire(sum, i + 1_000L, seed);
    }
    return sum;
  }

  static long boxed(long stub, long seed) {
    long sum = seed;
    for (int i = 0; i < BATCH; i++) {
      sum += i ^ sum;
      fire(stub, sum, i + 1_000L, seed);
    }
    return sum;
  }

  static void measure(Batch batch) {
    long thread = Thread.currentThread().getId();
    long sum = 1;
    while (true) {
      long start = System.nanoTime();
      long bytes = THREADS.getThreadAllocatedBytes(thread);
      long calls = 0;
      long nanos;
      do {
        sum = batch.run(sum);
        calls += BATCH;
        nanos = System.nanoTime() - start;
      } while (nanos < 25_000_000L);
      bytes = THREADS.getThreadAllocatedBytes(thread) - bytes;
      System.out.println(
          System.currentTimeMillis()
              + (" " + (double) nanos / calls)
              + (" " + (double) bytes / calls)
              + (sum == 42 ? " " : ""));
    }
  }
}
