// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import java.io.File;
import java.nio.charset.StandardCharsets;

/** This process's directory of stub libraries, which others recognise by its name and lock. */
public final class StubDirectory {
  private final String path;

  /** The descriptor that holds the lock; -1 once the directory is removed. */
  private int lock;

  private final File knock;

  private StubDirectory(String path, int lock) {
    this.path = path;
    this.knock = new File(path, "control.wanted");
    this.lock = lock;
  }

  /** Makes "parent/jprobe-pid" and sweeps what dead processes left in the parent. */
  public static StubDirectory create(String parent) throws StapsdtException {
    int[] lock = new int[1];
    String path = Native.createDirectory(parent.getBytes(StandardCharsets.UTF_8), lock);
    return new StubDirectory(path, lock[0]);
  }

  /**
   * Whether somebody has asked for the control gateway by a file here since this was called last.
   */
  public boolean takeKnock() {
    return knock.delete();
  }

  public String path() {
    return path;
  }

  /** Removes the directory and the libraries in it; what is mapped stays mapped. */
  public synchronized void remove() {
    if (lock >= 0) {
      Native.removeDirectory(path.getBytes(StandardCharsets.UTF_8), lock);
      lock = -1;
    }
  }
}
