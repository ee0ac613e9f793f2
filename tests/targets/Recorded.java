// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;

/**
 * Calls a method as commands on stdin say, one per line, and prints "done" after each: {@code calls
 * N} makes N calls, numbered on from 0; {@code throw} makes one that throws; {@code slow MS} makes
 * one that takes so many ms; {@code crash} crashes the JVM.
 */
public class Recorded {
  static class Work {
    static long call(long number, long millis) throws InterruptedException {
      if (millis < 0) {
        throw new IllegalStateException();
      }
      if (millis > 0) {
        Thread.sleep(millis);
      }
      return number;
    }
  }

  private static long next;

  public static void main(String[] arguments) throws Exception {
    Work.call(-1, 0);
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = commands.readLine()) != null; ) {
      String[] words = line.split(" ");
      switch (words[0]) {
        case "calls":
          for (long end = next + Long.parseLong(words[1]); next < end; next++) {
            Work.call(next, 0);
          }
          break;
        case "throw":
          fail();
          break;
        case "slow":
          Work.call(next++, Long.parseLong(words[1]));
          break;
        default:
          crash();
      }
      System.out.println("done");
    }
  }

  private static void fail() throws InterruptedException {
    try {
      Work.call(next++, -1);
    } catch (IllegalStateException e) {
      // Asked for.
    }
  }

  private static void crash() throws Exception {
    Class<?> type = Class.forName("sun.misc.Unsafe");
    Field field = type.getDeclaredField("theUnsafe");
    field.setAccessible(true);
    type.getMethod("putLong", long.class, long.class).invoke(field.get(null), 0L, 0L);
  }
}
