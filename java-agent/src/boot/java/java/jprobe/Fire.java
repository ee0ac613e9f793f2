// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import jdk.internal.misc.Unsafe;

/**
 * What woven methods call. The agent defines this class in the boot loader, in a package whose name
 * starts with "java.", because that is the one prefix that every class loader hands to its parent:
 * also those of OSGi and JBoss containers, which hide everything else.
 *
 * <p>Here is decided, before any trap, whether a call fires, by the method's <em>gate</em>: words
 * in its stub library (described in proto/jprobe/v1/manifest.proto), which can be changed while the
 * program runs, and where is counted what fires and what is held back. Addresses are constants in
 * woven code. Nothing here locks, throws, allocates or loads a class, and all that it calls is
 * native, an intrinsic, or in a class that is never traced.
 *
 * <p>Unsafe is the JDK's own way to memory that has an address: 2 ns for deciding and counting,
 * where a native method takes 8. The agent has its package exported to this class's module.
 */
public final class Fire {
  /** Stands for the start of a call that is not to fire. */
  public static final long HELD_BACK = Long.MIN_VALUE;

  // Offsets in a gate.
  private static final int EVERY = 8;
  private static final int LIMIT = 16;
  private static final int SEEN = 24;
  private static final int WINDOW = 32;

  // Probes in a gate, and in a probe the count of calls that were held back from it.
  private static final int ENTRY = 64;
  private static final int RETURN = 96;
  private static final int THROW = 128;
  private static final int FILTERED = 16;

  /** The window of a gate is a second, and in these lower bits the calls that it has let pass. */
  private static final int WINDOW_BITS = 24;

  private static final Unsafe UNSAFE = Unsafe.getUnsafe();

  /** Read past Thread.getId(), which applications can override before JDK 19. */
  private static final long THREAD_ID = UNSAFE.objectFieldOffset(Thread.class, "tid");

  private Fire() {}

  // ---- a call begins ----

  /** The start of a call, in ns, or {@link #HELD_BACK}. For methods whose entry probe rests. */
  public static long start(long gate) {
    return admitsAtStart(gate) ? System.nanoTime() : HELD_BACK;
  }

  /** Any number but {@link #HELD_BACK}, or that; {@code entry} gives the start then. */
  public static long begin(long gate) {
    return admitsAtStart(gate) ? 0 : HELD_BACK;
  }

  /** Where a least duration is asked for, calls are picked among those that have it, at the end. */
  private static boolean admitsAtStart(long gate) {
    return !isFollowing() && (UNSAFE.getLongOpaque(null, gate) > 0 || isPicked(gate));
  }

  /** Whether every-nth and the limit a second let the call pass. */
  private static boolean isPicked(long gate) {
    long every = UNSAFE.getLongOpaque(null, gate + EVERY);
    if (every > 1 && UNSAFE.getAndAddLong(null, gate + SEEN, 1) % every != 0) {
      return false;
    }
    long limit = UNSAFE.getLongOpaque(null, gate + LIMIT);
    return limit == 0 || isWithin(limit, gate + WINDOW);
  }

  private static boolean isWithin(long limit, long window) {
    long second = System.nanoTime() / 1_000_000_000L;
    while (true) {
      long before = UNSAFE.getLongVolatile(null, window);
      long now = before >>> WINDOW_BITS == second ? before : second << WINDOW_BITS;
      if ((now & (1L << WINDOW_BITS) - 1) >= limit) {
        return false;
      }
      if (UNSAFE.compareAndSetLong(null, window, before, now + 1)) {
        return true;
      }
    }
  }

  // ---- a call ends ----

  /** Nanoseconds since the start, or {@link #HELD_BACK} if that was the start. */
  public static long elapsed(long start) {
    return start == HELD_BACK ? HELD_BACK : System.nanoTime() - start;
  }

  /** Whether a call that was admitted at its start fires when it ends. */
  private static boolean admits(long elapsed, long gate) {
    long least = UNSAFE.getLongOpaque(null, gate);
    return elapsed != HELD_BACK && (least <= 0 || elapsed >= least && isPicked(gate));
  }

  /** The same where nothing was decided at the start. */
  public static boolean admitsAtEnd(long elapsed, long gate) {
    return elapsed != HELD_BACK
        && !isFollowing()
        && elapsed >= UNSAFE.getLongOpaque(null, gate)
        && isPicked(gate);
  }

  /** Counts a call that does not fire; the address of the probe in the gate. */
  public static void holdBack(long probe) {
    UNSAFE.getAndAddLong(null, probe + FILTERED, 1);
  }

  /**
   * Nanoseconds since the start, or {@link #HELD_BACK}, which is counted then.
   *
   * @param probe the offset of the probe in the gate
   */
  public static long elapsed(long start, long gate, int probe) {
    long elapsed = elapsed(start);
    if (admits(elapsed, gate)) {
      return elapsed;
    }
    holdBack(gate + probe);
    return HELD_BACK;
  }

  // Return probes without captured paths.

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
    long elapsed = elapsed(start, gate, RETURN);
    if (elapsed != HELD_BACK) {
      fire(gate + RETURN, elapsed, value, threadId());
    }
  }

  public static void exit(String value, long gate, long start) {
    long elapsed = elapsed(start, gate, RETURN);
    if (elapsed != HELD_BACK) {
      fire(gate + RETURN, elapsed, text(value, 0), threadId());
    }
  }

  public static void exit(Object value, long gate, long start) {
    long elapsed = elapsed(start, gate, RETURN);
    if (elapsed != HELD_BACK) {
      fire(gate + RETURN, elapsed, System.identityHashCode(value), threadId());
    }
  }

  /** A throw probe without captured paths. */
  public static void thrown(Throwable exception, long gate, long start) {
    long elapsed = elapsed(start, gate, THROW);
    if (elapsed != HELD_BACK) {
      fire(gate + THROW, elapsed, className(exception, 0), threadId());
    }
  }

  // ---- values ----

  public static long threadId() {
    return UNSAFE.getLong(Thread.currentThread(), THREAD_ID);
  }

  /** The text of an object's class name; see {@code text}. */
  public static long className(Object object, int slot) {
    return text(object.getClass().getName(), slot);
  }

  /** {@code text}, for nothing where the call is held back. */
  public static long text(long start, String string, int slot) {
    return start == HELD_BACK ? 0 : text(string, slot);
  }

  /** The identity hash, for nothing where the call is held back. */
  public static int hash(long start, Object object) {
    return start == HELD_BACK ? 0 : System.identityHashCode(object);
  }

  /** Whether two strings are equal, or both null. */
  public static boolean same(String one, String other) {
    return one == null ? other == null : one.equals(other);
  }

  // A captured path may lead through calls of the program's own methods, and whatever these call
  // may
  // be traced in turn, with paths that lead through them. So a thread says here that it follows a
  // path, and until it has done so, none of its calls fires and no other path is followed.

  /**
   * Ids of the threads that follow a path, each in one of eight places that its id decides, so that
   * looking for one reads a cache line or two; 0 where there is none. A table and no ThreadLocal,
   * which would allocate, and leave something behind in each thread.
   */
  public static final long[] FOLLOWING = new long[2048];

  /** The first eight places are nobody's: a thread that was given none may clear one there. */
  private static final int NO_PLACE = 0;

  private static final int PLACES = 8;

  private static final long FIRST_PLACE = offsetOfFirst();

  /** So that programs without such paths are not searched for threads that follow one. */
  private static boolean hasFollowed;

  /**
   * To be called before a path is followed. Woven code gives the place back itself, by writing 0
   * there: at the end of the stack that may be all that still succeeds.
   *
   * @return a place in {@link #FOLLOWING}; 0 if the path is not to be followed, because this thread
   *     follows one already, or its places are all taken
   */
  public static int follow() {
    hasFollowed = true;
    long thread = threadId();
    int first = firstPlace(thread);
    if (isFollowing(thread, first)) {
      return NO_PLACE;
    }
    for (int place = first; place < first + PLACES; place++) {
      if (FOLLOWING[place] == 0 && UNSAFE.compareAndSetLong(FOLLOWING, offset(place), 0, thread)) {
        return place;
      }
    }
    return NO_PLACE;
  }

  private static boolean isFollowing() {
    if (!hasFollowed) {
      return false;
    }
    long thread = threadId();
    return isFollowing(thread, firstPlace(thread));
  }

  private static boolean isFollowing(long thread, int first) {
    for (int place = first; place < first + PLACES; place++) {
      if (FOLLOWING[place] == thread) {
        return true;
      }
    }
    return false;
  }

  /** Threads with ids in a row come to lie far apart: 2^64 by the golden ratio (Knuth, 6.4). */
  private static int firstPlace(long thread) {
    int lines = FOLLOWING.length / PLACES;
    int line = (int) ((thread * 0x9E3779B97F4A7C15L >>> 32) * (lines - 1) >>> 32);
    return (1 + line) * PLACES;
  }

  private static long offset(int place) {
    return FIRST_PLACE + (long) place * Long.BYTES;
  }

  /** Found by looking: what Unsafe says is an int before JDK 25 and a long since, and links so. */
  private static long offsetOfFirst() {
    long[] one = {0x9E3779B97F4A7C15L};
    long offset = Long.BYTES;
    while (UNSAFE.getLong(one, offset) != one[0]) {
      offset += Long.BYTES;
    }
    return offset;
  }

  // Fields that woven code may not name, because they are private to another class. The object is
  // of the class that the offset was asked of, or of a subclass.

  /** Throws InternalError if the class does not declare such a field. */
  public static long offset(Class<?> declaring, String field) {
    return UNSAFE.objectFieldOffset(declaring, field);
  }

  public static boolean fieldBoolean(Object object, long offset) {
    return UNSAFE.getBoolean(object, offset);
  }

  public static byte fieldByte(Object object, long offset) {
    return UNSAFE.getByte(object, offset);
  }

  public static short fieldShort(Object object, long offset) {
    return UNSAFE.getShort(object, offset);
  }

  public static char fieldChar(Object object, long offset) {
    return UNSAFE.getChar(object, offset);
  }

  public static int fieldInt(Object object, long offset) {
    return UNSAFE.getInt(object, offset);
  }

  public static long fieldLong(Object object, long offset) {
    return UNSAFE.getLong(object, offset);
  }

  public static float fieldFloat(Object object, long offset) {
    return UNSAFE.getFloat(object, offset);
  }

  public static double fieldDouble(Object object, long offset) {
    return UNSAFE.getDouble(object, offset);
  }

  public static Object fieldReference(Object object, long offset) {
    return UNSAFE.getReference(object, offset);
  }

  // ---- native: src/main/c/jni/fire.c ----

  /**
   * Copies a string for the next event of this thread.
   *
   * @param slot the string's place among those of the event, from 0 to 11
   * @return the address of NUL-terminated UTF-8, odd if the string was cut; or 0 for null
   */
  public static native long text(String string, int slot);

  // Fires the probe of that address with the words that its stub passes, and counts it; where the
  // allowance of the whole process is used up, it is counted alone.

  public static native void fire(long probe, long a1);

  public static native void fire(long probe, long a1, long a2);

  public static native void fire(long probe, long a1, long a2, long a3);

  public static native void fire(long probe, long a1, long a2, long a3, long a4);

  public static native void fire(long probe, long a1, long a2, long a3, long a4, long a5);

  public static native void fire(long probe, long a1, long a2, long a3, long a4, long a5, long a6);

  public static native void fire(
      long probe, long a1, long a2, long a3, long a4, long a5, long a6, long a7);

  public static native void fire(
      long probe, long a1, long a2, long a3, long a4, long a5, long a6, long a7, long a8);

  public static native void fire(
      long probe, long a1, long a2, long a3, long a4, long a5, long a6, long a7, long a8, long a9);

  public static native void fire(
      long probe,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9,
      long a10);

  public static native void fire(
      long probe,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9,
      long a10,
      long a11);

  public static native void fire(
      long probe,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9,
      long a10,
      long a11,
      long a12);

  public static native void fire(
      long probe,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9,
      long a10,
      long a11,
      long a12,
      long a13);

  private static long heldBackAtEntry(long gate) {
    holdBack(gate + ENTRY);
    return HELD_BACK;
  }

  // Fires an entry probe, unless the call is held back: the captured arguments, then the Java
  // thread id. Gives the start of the call, in ns: after the trap, which is no part of its
  // duration.

  public static long entry(long start, long gate) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, threadId());
    return System.nanoTime();
  }

  public static long entry(long start, long gate, long a1) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, threadId());
    return System.nanoTime();
  }

  public static long entry(long start, long gate, long a1, long a2) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, threadId());
    return System.nanoTime();
  }

  public static long entry(long start, long gate, long a1, long a2, long a3) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, threadId());
    return System.nanoTime();
  }

  public static long entry(long start, long gate, long a1, long a2, long a3, long a4) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, threadId());
    return System.nanoTime();
  }

  public static long entry(long start, long gate, long a1, long a2, long a3, long a4, long a5) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, threadId());
    return System.nanoTime();
  }

  public static long entry(
      long start, long gate, long a1, long a2, long a3, long a4, long a5, long a6) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, a6, threadId());
    return System.nanoTime();
  }

  public static long entry(
      long start, long gate, long a1, long a2, long a3, long a4, long a5, long a6, long a7) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, a6, a7, threadId());
    return System.nanoTime();
  }

  public static long entry(
      long start,
      long gate,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, a6, a7, a8, threadId());
    return System.nanoTime();
  }

  public static long entry(
      long start,
      long gate,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, a6, a7, a8, a9, threadId());
    return System.nanoTime();
  }

  public static long entry(
      long start,
      long gate,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9,
      long a10) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, threadId());
    return System.nanoTime();
  }

  public static long entry(
      long start,
      long gate,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9,
      long a10,
      long a11) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, threadId());
    return System.nanoTime();
  }

  public static long entry(
      long start,
      long gate,
      long a1,
      long a2,
      long a3,
      long a4,
      long a5,
      long a6,
      long a7,
      long a8,
      long a9,
      long a10,
      long a11,
      long a12) {
    if (start == HELD_BACK) {
      return heldBackAtEntry(gate);
    }
    fire(gate + ENTRY, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, threadId());
    return System.nanoTime();
  }
}
