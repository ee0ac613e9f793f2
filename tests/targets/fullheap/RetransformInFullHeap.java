// SPDX-License-Identifier: Apache-2.0

import io.jprobe.stub.LoadedClass;
import io.jprobe.stub.NativeLibrary;

/**
 * Retransforms a class again and again while another thread fills the heap, until that has failed
 * often enough for lack of memory. Prints how often it has succeeded.
 */
public final class RetransformInFullHeap {
  static final class Subject {}

  /** Linked list: each element refers to the previous one. */
  private static Object[] hoard;

  private static volatile boolean isToBeFull = true;

  private RetransformInFullHeap() {}

  public static void main(String[] args) throws Exception {
    int failures = Integer.parseInt(args[0]);
    Class<?>[] subject = {new Subject().getClass()};
    NativeLibrary.load(args[1]);
    LoadedClass.retransform(subject);
    Thread filler = new Thread(RetransformInFullHeap::fill);
    filler.setDaemon(true);
    filler.start();
    int successes = 0;
    while (failures > 0) {
      try {
        LoadedClass.retransform(subject);
        successes++;
      } catch (OutOfMemoryError e) {
        failures--;
      }
    }
    isToBeFull = false;
    filler.join();
    hoard = null;
    System.out.println("succeeded " + successes);
  }

  private static void fill() {
    while (isToBeFull) {
      for (int size = 1 << 17; size > 0; size /= 2) {
        try {
          while (isToBeFull) {
            Object[] more = new Object[size];
            more[0] = hoard;
            hoard = more;
          }
        } catch (OutOfMemoryError e) {
          // The heap is full for this size.
          Thread.onSpinWait();
        }
      }
    }
  }
}
