// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import io.jprobe.layout.StacksLayout;

/**
 * Takes the stack of the calling thread, and finds the ID under which its frames are described in
 * memory that collectors read (layout/stacks.toml).
 *
 * <p>What an exception does when it is created is the fastest way to walk a stack: it takes at
 * most a quarter of the time of StackWalker (bench/stacks.py), and it sees the frames of a virtual
 * thread alone. No exception is constructed: JFR would count it. The JVM leaves the frames
 * in the hidden field {@code backtrace}, in a form of its own: arrays of at most 32 method numbers,
 * places in the bytecode, classes and names, and the next such arrays. {@link SeenStacks} compares
 * these, so that only a stack that is new is decoded.
 *
 * <p>The form was read in JDK 17 to 25. {@link #prepare} checks it with a stack that is known. If
 * it differs, or if the JVM was told to leave it out (-XX:-StackTraceInThrowable), each stack is
 * decoded: slower, with the same result.
 */
final class Stacks {
  /** Frames of a stack at most. */
  static final int MAX = StacksLayout.MAX_FRAMES;

  // Elements of a part of a backtrace.
  static final int METHODS = 0;
  static final int PLACES = 1;
  static final int CLASSES = 2;
  static final int NAMES = 3;

  /** Depth of the known stack: it has two parts. */
  private static final int KNOWN_DEPTH = 40;

  private static final long BACKTRACE = offset("backtrace");
  private static final long DEPTH = offset("depth");
  private static final long STACK_TRACE = offset("stackTrace");
  private static final StackTraceElement[] NONE = {};

  /** Index of the next part of a backtrace; 0 if backtraces have another form. */
  private static int next;

  /** Null while no stacks are taken. */
  private static volatile SeenStacks seen;

  private Stacks() {}

  private static long offset(String field) {
    try {
      return ObjectFields.UNSAFE.objectFieldOffset(Throwable.class, field);
    } catch (InternalError e) {
      return -1;
    }
  }

  /**
   * Initializes all that {@link #id} needs, and takes stacks from now on.
   *
   * @param generation number of the memory for descriptions; 0: no stacks are taken
   */
  static void prepare(int generation) {
    next = 0;
    if (STACK_TRACE < 0) {
      seen = null;
      return;
    }
    if (BACKTRACE > 0 && DEPTH > 0) {
      next = nextOf(known(KNOWN_DEPTH));
    }
    SeenStacks opened = generation == 0 ? null : new SeenStacks(generation, next);
    if (opened != null) {
      StackText.prepare();
      SeenStacks.prepare(next);
    }
    seen = opened;
  }

  private static Throwable known(int depth) {
    return depth == 1 ? walk() : known(depth - 1);
  }

  /** Returns an exception with the frames of this thread, from this method on. */
  static Throwable walk() {
    try {
      Throwable trace = (Throwable) ObjectFields.UNSAFE.allocateInstance(Throwable.class);
      // With null, nothing is filled in.
      ObjectFields.UNSAFE.putReference(trace, STACK_TRACE, NONE);
      return trace.fillInStackTrace();
    } catch (InstantiationException e) {
      return null;
    }
  }

  /** Returns the index of the next part in the parts of a backtrace whose frames are known. */
  private static int nextOf(Throwable known) {
    Object[] part = partOf(known);
    if (part == null || !isPart(part)) {
      return 0;
    }
    for (int i = NAMES + 1; i < part.length; i++) {
      if (part[i] instanceof Object[] && isPart((Object[]) part[i])) {
        return isKnown(known, part, i) ? i : 0;
      }
    }
    return 0;
  }

  private static boolean isPart(Object[] part) {
    if (part.length <= NAMES + 1
        || !(part[METHODS] instanceof short[])
        || !(part[PLACES] instanceof int[])
        || !(part[CLASSES] instanceof Object[])
        || !(part[NAMES] instanceof long[])) {
      return false;
    }
    int length = ((short[]) part[METHODS]).length;
    return length > 0
        && ((int[]) part[PLACES]).length == length
        && ((Object[]) part[CLASSES]).length == length
        && ((long[]) part[NAMES]).length == length;
  }

  /** Returns true if the parts have as many classes as the stack has frames, this one first. */
  private static boolean isKnown(Throwable known, Object[] first, int next) {
    int depth = ObjectFields.UNSAFE.getInt(known, DEPTH);
    int frames = 0;
    for (Object[] part = first; part != null; part = (Object[]) part[next]) {
      if (!isPart(part)) {
        return false;
      }
      for (Object owner : (Object[]) part[CLASSES]) {
        if (owner == null) {
          break;
        }
        if (!(owner instanceof Class) || frames < KNOWN_DEPTH && owner != Stacks.class) {
          return false;
        }
        frames++;
      }
    }
    return depth > KNOWN_DEPTH && frames == depth;
  }

  /** Returns the first part of a backtrace; null if there is none. */
  static Object[] partOf(Throwable trace) {
    Object backtrace = ObjectFields.UNSAFE.getReference(trace, BACKTRACE);
    return backtrace instanceof Object[] ? (Object[]) backtrace : null;
  }

  static int depthOf(Throwable trace) {
    return ObjectFields.UNSAFE.getInt(trace, DEPTH);
  }

  /** Returns true for the classes that are between a traced method and its stack. */
  static boolean isOwn(Object owner) {
    return owner == Stacks.class || owner == Fire.class;
  }

  /**
   * Returns the ID of the calling thread's stack, from the traced method on. Throws nothing.
   *
   * @param most number of frames that count; 0 for all
   * @return 0 if there is no ID, which is counted
   */
  static long id(int most) {
    SeenStacks into = seen;
    if (into == null) {
      return 0;
    }
    try {
      return into.idOf(walk(), most == 0 || most > MAX ? MAX : most);
    } catch (Throwable e) {
      // No memory, or no room on this very stack.
      Fire.loseStack();
      return 0;
    }
  }
}
