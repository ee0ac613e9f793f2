// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

/**
 * Records which threads are evaluating a captured path.
 *
 * <p>A path may call methods of the application, and those may be traced in turn, with paths that
 * call methods. So a thread registers here before it evaluates such a path. Until it has finished,
 * none of its calls fires and it evaluates no other path.
 */
abstract class PathEvaluation extends Elements {
  /**
   * IDs of the threads that are evaluating a path; 0 in a free slot. The ID of a thread determines
   * the eight slots that it may use, so that a search reads one or two cache lines. A table, not a
   * ThreadLocal, which would allocate and leave an entry behind in each thread.
   */
  public static final long[] EVALUATING = new long[2048];

  private static final int SLOTS = 8;

  /**
   * Returned to threads that get no slot. The first eight slots are unused, so they may clear it.
   */
  private static final int NO_SLOT = 0;

  private static final long FIRST_OFFSET = offsetOfFirst();

  /** Spares programs without such paths the search for evaluating threads. */
  private static boolean hasEvaluated;

  PathEvaluation() {}

  /**
   * Registers the calling thread, which must not evaluate the path if this fails. Woven code frees
   * the slot itself by writing 0 to it: close to a stack overflow, nothing more may succeed.
   *
   * @return a slot of {@link #EVALUATING}; 0 if this thread already evaluates a path or all of its
   *     slots are occupied
   */
  public static int beginEvaluation() {
    hasEvaluated = true;
    long thread = threadId();
    int first = firstSlot(thread);
    if (isEvaluating(thread, first)) {
      return NO_SLOT;
    }
    for (int slot = first; slot < first + SLOTS; slot++) {
      if (EVALUATING[slot] == 0 && UNSAFE.compareAndSetLong(EVALUATING, offset(slot), 0, thread)) {
        return slot;
      }
    }
    return NO_SLOT;
  }

  /** Returns true if the calling thread is evaluating a path. */
  static boolean isEvaluating() {
    if (!hasEvaluated) {
      return false;
    }
    long thread = threadId();
    return isEvaluating(thread, firstSlot(thread));
  }

  private static boolean isEvaluating(long thread, int first) {
    for (int slot = first; slot < first + SLOTS; slot++) {
      if (EVALUATING[slot] == thread) {
        return true;
      }
    }
    return false;
  }

  /** Spreads consecutive thread IDs: multiplies by 2^64 / golden ratio (Knuth, 6.4). */
  private static int firstSlot(long thread) {
    int lines = EVALUATING.length / SLOTS;
    int line = (int) ((thread * 0x9E3779B97F4A7C15L >>> 32) * (lines - 1) >>> 32);
    return (1 + line) * SLOTS;
  }

  private static long offset(int slot) {
    return FIRST_OFFSET + (long) slot * Long.BYTES;
  }

  /**
   * Searches for the first element's offset. Unsafe's constant is an int before JDK 25 and a long
   * since, and a class file can link to one of them only.
   */
  private static long offsetOfFirst() {
    long[] one = {0x9E3779B97F4A7C15L};
    long offset = Long.BYTES;
    while (UNSAFE.getLong(one, offset) != one[0]) {
      offset += Long.BYTES;
    }
    return offset;
  }
}
