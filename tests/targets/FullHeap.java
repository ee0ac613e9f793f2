// SPDX-License-Identifier: Apache-2.0

import java.lang.reflect.Method;
import java.util.Arrays;

/**
 * Fills its heap to the last word and keeps it full on command. Commands are single characters: f
 * fills the heap; c clears it; n prints the parameters of a method as reflection reports them, if
 * the heap is clear; x exits. Allocates nothing else while the heap is full.
 */
public final class FullHeap {
  static final class Work {
    private static int done;

    static void step() {
      done++;
    }

    static int add(final int first, int second) {
      return first + second;
    }
  }

  private static final byte[] READY = "ready\n".getBytes();
  private static final byte[] FULL = "full\n".getBytes();
  private static final byte[] CLEAR = "clear\n".getBytes();

  /** Linked list: each element refers to the previous one. */
  private static Object[] hoard;

  private static volatile boolean isToBeFull;
  private static volatile boolean isFull;

  private FullHeap() {}

  public static void main(String[] args) throws Exception {
    Thread filler = new Thread(FullHeap::keepFull);
    filler.setDaemon(true);
    filler.start();
    Work.step();
    tell(READY);
    for (int command; (command = System.in.read()) != 'x'; ) {
      if (command == 'f') {
        isToBeFull = true;
        await(true);
        tell(FULL);
      } else if (command == 'c') {
        isToBeFull = false;
        await(false);
        tell(CLEAR);
      } else if (command == 'n') {
        Method add = Work.class.getDeclaredMethod("add", int.class, int.class);
        tell(("named " + Arrays.toString(add.getParameters()) + "\n").getBytes());
      }
    }
  }

  private static void await(boolean full) {
    while (isFull != full) {
      Thread.onSpinWait();
    }
  }

  /** Keeps the heap full on demand: claims at once all memory that other code frees. */
  private static void keepFull() {
    while (true) {
      if (isToBeFull) {
        fill();
        isFull = true;
      } else {
        hoard = null;
        isFull = false;
        Thread.yield();
      }
    }
  }

  private static void fill() {
    for (int size = 1 << 18; size > 0; size /= 2) {
      try {
        while (true) {
          Object[] more = new Object[size];
          more[0] = hoard;
          hoard = more;
        }
      } catch (OutOfMemoryError e) {
        // The heap is full for this size.
        Work.step();
      }
    }
  }

  private static void tell(byte[] line) {
    System.out.write(line, 0, line.length);
    System.out.flush();
  }
}
