// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import io.jprobe.layout.GateLayout;

/**
 * Holds the methods that woven code calls. The agent defines this class and its superclasses in the
 * boot loader. Their package name starts with "java.", the only prefix that every class loader
 * delegates to its parent; those of OSGi and JBoss containers delegate nothing else.
 *
 * <p>The superclasses hold one task each. Woven code names this class alone, so that an
 * application's class loader has to find only one.
 *
 * <p>Nothing here locks, throws, allocates or loads a class, except that {@link Rendering}
 * allocates the text of a few types of the JDK, and {@link Stacks} what it takes. All that it calls
 * is native, an intrinsic, or in a class that is never traced. Addresses are constants in woven
 * code.
 *
 * <p>Unsafe is the JDK's own access to memory by address: deciding and counting need 2 ns, where a
 * native method needs 8. The agent exports its package to this class's module.
 */
public final class Fire extends CallGate {
  /** Stands for the time at which the call is made. */
  private static final long NOW = 0;

  private Fire() {}

  // ---- end of a call: return and throw probes without captured paths ----

  public static void exit(long gate, long start) {
    exit(0L, gate, start);
  }

  public static void exit(int value, long gate, long start) {
    exit((long) value, gate, start);
  }

  public static void exit(float value, long gate, long start) {
    exit((long) Float.floatToRawIntBits(value), gate, start);
  }

  public static void exit(double value, long gate, long start) {
    exit(Double.doubleToRawLongBits(value), gate, start);
  }

  public static void exit(long value, long gate, long start) {
    if (leavesAtOnce(gate, start)) {
      leave(gate + GateLayout.RETURN, start, value, threadId());
      return;
    }
    long elapsed = elapsed(start, gate, GateLayout.RETURN);
    if (elapsed != SUPPRESSED) {
      fire(gate + GateLayout.RETURN, start + elapsed, elapsed, value, threadId());
    }
  }

  public static void exit(String value, long gate, long start) {
    exit(value, gate, start, GateLayout.RETURN);
  }

  public static void exit(Object value, long gate, long start) {
    long elapsed = elapsed(start, gate, GateLayout.RETURN);
    if (elapsed != SUPPRESSED) {
      long text = passesValues(gate + GateLayout.RETURN) ? Rendering.text(value, 0) : 0;
      fire(gate + GateLayout.RETURN, start + elapsed, elapsed, text, threadId());
    }
  }

  public static void thrown(Throwable exception, long gate, long start) {
    exit(exception.getClass().getName(), gate, start, GateLayout.THROW);
  }

  private static void exit(String value, long gate, long start, int probe) {
    if (leavesAtOnce(gate, start)) {
      leave(gate + probe, start, value, threadId());
      return;
    }
    long elapsed = elapsed(start, gate, probe);
    if (elapsed != SUPPRESSED) {
      long text = passesValues(gate + probe) ? text(value, 0) : 0;
      fire(gate + probe, start + elapsed, elapsed, text, threadId());
    }
  }

  // ---- values ----

  /** Returns the text of an object's class name; see {@link #text(String, int)}. */
  public static long className(Object object, int slot) {
    return text(object.getClass().getName(), slot);
  }

  /** Returns {@link #text(String, int)}, or 0 without copying if the call is suppressed. */
  public static long text(long start, String string, int slot) {
    return start == SUPPRESSED ? 0 : text(string, slot);
  }

  /**
   * Returns the text of any object; see {@link Rendering}.
   *
   * @param slot the text's index among those of the event, from 0 to 11
   */
  public static long object(Object object, int slot) {
    return Rendering.text(object, slot);
  }

  /** Returns {@link #object(Object, int)}, or 0 without reading it if the call is suppressed. */
  public static long object(long start, Object object, int slot) {
    return start == SUPPRESSED ? 0 : Rendering.text(object, slot);
  }

  /** Loads what {@link #object(Object, int)} needs. Called before the first method that uses it. */
  public static void prepareObjects() {
    Rendering.prepare();
  }

  /**
   * Returns the ID of this thread's stack, of which {@code most} frames count, 0 for all; 0 if
   * there is none. The traced method's own frame is the first. Throws nothing.
   *
   * @param probe the address of the probe in the gate, which is charged for the time
   */
  public static long stack(long probe, int most) {
    if (!passesValues(probe)) {
      return 0;
    }
    long began = now();
    long id = Stacks.id(most);
    spend(probe, now() - began);
    return id;
  }

  /**
   * Takes stacks from now on. Called before the first method that uses {@link #stack}.
   *
   * @param generation number of the memory for their descriptions; 0 to take none any more
   */
  public static void prepareStacks(int generation) {
    Stacks.prepare(generation);
  }

  /** Returns true if two strings are equal, or both null. */
  public static boolean same(String one, String other) {
    return one == null ? other == null : one.equals(other);
  }

  // ---- native methods: src/main/c/jni/fire.c ----

  /**
   * Copies a string for the next event of this thread.
   *
   * @param slot the string's index among those of the event, from 0 to 11
   * @return the address of NUL-terminated UTF-8, odd if the string was truncated; 0 for null
   */
  public static native long text(String string, int slot);

  /**
   * Returns the address of memory for a text of the next event of this thread: {@link #textLimit}
   * bytes and two more.
   */
  static native long buffer(int slot);

  /**
   * Returns the ID of a stack, which is described now unless it was before; 0 if there is no room,
   * which is counted.
   *
   * @param lines the frames, innermost first, each with a line feed behind it
   */
  static native long describe(int generation, byte[] lines, boolean isCut);

  /** Counts a value without a stack. */
  static native void loseStack();

  /** Charges a probe for time in ns. */
  private static native void spend(long probe, long nanos);

  /** Returns the agent's string limit in bytes. */
  static native int textLimit();

  /** Returns CLOCK_MONOTONIC in ns; faster than System.nanoTime if {@link #isClockFast}. */
  static native long clock();

  /** Returns true if {@link #clock} is derived from the CPU's time stamp counter. */
  static native boolean isClockFast();

  // Read the clock and fire a return or throw probe, in one transition to native code.

  private static native void leave(long probe, long start, long value, long thread);

  private static native void leave(long probe, long start, String value, long thread);

  // Each form fires the probe at that address: with the words that its stub passes, if there is a
  // trap. `time` is that of the event in ns of CLOCK_MONOTONIC, or NOW. Once the allowance of the
  // process is spent, it only counts the call as throttled. With NOW it returns the time in ns,
  // read
  // after the trap, and 0 otherwise.

  public static native long fire(long probe, long time, long a);

  public static native long fire(long probe, long time, long a, long b);

  public static native long fire(long probe, long time, long a, long b, long c);

  public static native long fire(long probe, long time, long a, long b, long c, long d);

  public static native long fire(long probe, long time, long a, long b, long c, long d, long e);

  public static native long fire(
      long probe, long time, long a, long b, long c, long d, long e, long f);

  public static native long fire(
      long probe, long time, long a, long b, long c, long d, long e, long f, long g);

  public static native long fire(
      long probe, long time, long a, long b, long c, long d, long e, long f, long g, long h);

  public static native long fire(
      long probe,
      long time,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i);

  public static native long fire(
      long probe,
      long time,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i,
      long j);

  public static native long fire(
      long probe,
      long time,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i,
      long j,
      long k);

  public static native long fire(
      long probe,
      long time,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i,
      long j,
      long k,
      long l);

  public static native long fire(
      long probe,
      long time,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i,
      long j,
      long k,
      long l,
      long m);

  // ---- start of a call ----

  private static long suppressedAtEntry(long gate) {
    suppress(gate + GateLayout.ENTRY);
    return SUPPRESSED;
  }

  // Each form fires an entry probe with the captured arguments and the Java thread ID, unless the
  // call is suppressed. It returns the start of the call in ns, taken after the trap, which does
  // not belong to the call's duration.

  public static long entry(long start, long gate) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, threadId());
  }

  public static long entry(long start, long gate, long a) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, threadId());
  }

  public static long entry(long start, long gate, long a, long b) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, threadId());
  }

  public static long entry(long start, long gate, long a, long b, long c) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, threadId());
  }

  public static long entry(long start, long gate, long a, long b, long c, long d) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, threadId());
  }

  public static long entry(long start, long gate, long a, long b, long c, long d, long e) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, threadId());
  }

  public static long entry(long start, long gate, long a, long b, long c, long d, long e, long f) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, f, threadId());
  }

  public static long entry(
      long start, long gate, long a, long b, long c, long d, long e, long f, long g) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, f, g, threadId());
  }

  public static long entry(
      long start, long gate, long a, long b, long c, long d, long e, long f, long g, long h) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, f, g, h, threadId());
  }

  public static long entry(
      long start,
      long gate,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, f, g, h, i, threadId());
  }

  public static long entry(
      long start,
      long gate,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i,
      long j) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, f, g, h, i, j, threadId());
  }

  public static long entry(
      long start,
      long gate,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i,
      long j,
      long k) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, f, g, h, i, j, k, threadId());
  }

  public static long entry(
      long start,
      long gate,
      long a,
      long b,
      long c,
      long d,
      long e,
      long f,
      long g,
      long h,
      long i,
      long j,
      long k,
      long l) {
    if (start == SUPPRESSED) {
      return suppressedAtEntry(gate);
    }
    return fire(gate + GateLayout.ENTRY, NOW, a, b, c, d, e, f, g, h, i, j, k, l, threadId());
  }
}
