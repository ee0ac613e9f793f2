// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * The memory of the direct lane, which this process shares with jcollect (layout/direct.toml):
 * rings of records, and histograms. Created when a collector wants them, given back afterwards. For
 * the watcher thread only.
 */
public final class DirectMemory {
  private DirectMemory() {}

  /**
   * Creates the rings, unless there are some.
   *
   * @param bytes their size
   * @return the number of their file descriptor, which stays the same until they are closed
   */
  public static int openRings(long bytes) throws StubException {
    return Native.openRings(bytes);
  }

  /** Ends the use of the rings. A firing for which a sink is still set writes nothing. */
  public static void closeRings() {
    Native.closeRings();
  }

  /**
   * Creates the histograms, all empty, unless there are some.
   *
   * @return the number of their file descriptor, which stays the same until they are closed
   */
  public static int openHistograms() throws StubException {
    return Native.openHistograms();
  }

  /** Returns the number of histograms for which there is room; 0 while they are closed. */
  public static int histogramCapacity() {
    return Native.histogramCapacity();
  }

  /** Ends the use of the histograms. A firing for which a sink is still set counts nothing. */
  public static void closeHistograms() {
    Native.closeHistograms();
  }

  /**
   * Creates the memory of the captured stacks (layout/stacks.toml), unless there is some.
   *
   * @param bytes its size
   * @return the number of its file descriptor, which stays the same until it is closed
   */
  public static int openStacks(int bytes) throws StubException {
    return Native.openStacks(bytes);
  }

  /** Returns a number that differs for each memory of stacks; 0 while there is none. */
  public static int stacksGeneration() {
    return Native.stacksGeneration();
  }

  /** Ends the use of the memory of stacks. */
  public static void closeStacks() {
    Native.closeStacks();
  }

  /**
   * Gives back closed memory that no thread uses any more.
   *
   * @return true if none is left to give back
   */
  public static boolean release() {
    return Native.releaseDirect();
  }
}
