// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import java.util.ArrayList;
import java.util.List;

/** Methods of every shape that weaving must handle; {@link #run} reports their behavior. */
public class Shapes {
  private final List<String> said = new ArrayList<>();
  final int base;

  public Shapes() {
    this(choose(true) ? 4 : 5);
  }

  Shapes(int base) {
    super();
    this.base = base;
    if (base < 0) {
      throw new IllegalArgumentException("negative");
    }
  }

  static class Child extends Shapes {
    Child(String text) {
      super(Integer.parseInt(new String(text)));
      if (base == 8) {
        throw new IllegalStateException("after super");
      }
    }
  }

  static boolean choose(boolean first) {
    return first;
  }

  byte aByte(byte value) {
    return ++value;
  }

  short aShort(short value) {
    return ++value;
  }

  char aChar(char value) {
    return ++value;
  }

  long aLong(int before, long value, String between, long after) {
    return before + value + between.length() + after;
  }

  float aFloat(float value) {
    return value / 2;
  }

  double aDouble(double value, boolean half) {
    return half ? value / 2 : value;
  }

  String aString(String value) {
    return value == null ? null : value + "!";
  }

  int[] anArray(int[] value, Object other) {
    return other == null ? value : new int[] {base};
  }

  static void nothing() {}

  int loop(int count) {
    int sum = 0;
    for (int i = 0; i < count; i++) {
      long odd = i;
      if (i % 2 == 0) {
        String text = "" + i;
        sum += text.length();
        continue;
      }
      sum += (int) odd;
    }
    return sum;
  }

  int endless(int from) {
    while (true) {
      from++;
      if (from > 10) {
        throw new IllegalStateException("left at " + from);
      }
    }
  }

  int guarded(String number) {
    try {
      return Integer.parseInt(number);
    } catch (NumberFormatException e) {
      return -1;
    } finally {
      said.add("finally " + number);
    }
  }

  synchronized int locked(int value) {
    synchronized (said) {
      if (value < 0) {
        throw new UnsupportedOperationException();
      }
      return value;
    }
  }

  int chosen(int value, String text) {
    switch (value) {
      case 1:
        return 10;
      case 2:
        return 20;
      case 100:
        return 30;
      default:
        switch (text) {
          case "a":
            return 40;
          default:
            return 50;
        }
    }
  }

  /** Reuses the argument's slot for another type. */
  static String reuses(Object value) {
    String result = value.toString();
    value = null;
    Runnable later = () -> nothing();
    later.run();
    return result;
  }

  static long eleven(
      int a,
      long b,
      String c,
      double d,
      float e,
      char f,
      byte g,
      short h,
      boolean i,
      Object j,
      String k,
      long l) {
    return a + b + c.length() + (long) d + (long) e + f + g + h + (i ? 1 : 0) + k.length() + l;
  }

  interface Greeting {
    default String greet(String name) {
      return "hello " + name;
    }
  }

  static String attempt(Runnable action) {
    try {
      action.run();
      return "no exception";
    } catch (RuntimeException e) {
      return e.toString();
    }
  }

  /** Calls everything. The result must be the same before and after weaving. */
  public static String run() {
    Shapes shapes = new Shapes();
    List<Object> results = new ArrayList<>();
    results.add(shapes.base);
    results.add(new Child("7").base);
    results.add(attempt(() -> new Child("-7")));
    results.add(attempt(() -> new Child("seven")));
    results.add(attempt(() -> new Child("8")));
    results.add(shapes.aByte(Byte.MAX_VALUE));
    results.add(shapes.aShort((short) 7));
    results.add(shapes.aChar('x'));
    results.add(shapes.aLong(1, 1L << 40, "three", -5));
    results.add(shapes.aFloat(Float.NaN));
    results.add(shapes.aDouble(5.0, true));
    results.add(shapes.aString("text"));
    results.add(shapes.aString(null));
    results.add(shapes.anArray(new int[2], null).length);
    results.add(shapes.anArray(null, "").length);
    nothing();
    results.add(shapes.loop(9));
    results.add(attempt(() -> shapes.endless(0)));
    results.add(shapes.guarded("12"));
    results.add(shapes.guarded("twelve"));
    results.add(shapes.locked(3));
    results.add(attempt(() -> shapes.locked(-3)));
    results.add(Thread.holdsLock(shapes));
    results.add(shapes.chosen(2, "") + shapes.chosen(100, "") + shapes.chosen(9, "a"));
    results.add(reuses(42));
    results.add(eleven(1, 2, "3", 4, 5, '6', (byte) 7, (short) 8, true, "j", "k", 12));
    results.add(new Greeting() {}.greet("you"));
    results.add(shapes.said);
    return results.toString();
  }
}
