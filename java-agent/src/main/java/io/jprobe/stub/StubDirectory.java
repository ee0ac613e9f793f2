// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.io.File;
import java.nio.charset.StandardCharsets;

/**
 * This process's directory of stub libraries, which other processes recognize by its name and lock.
 */
public final class StubDirectory {
  private final String path;

  /** Zero once the directory is removed. */
  private long handle;

  private final File knock;

  private StubDirectory(String path, long handle) {
    this.path = path;
    this.knock = new File(path, "control.wanted");
    this.handle = handle;
  }

  /** Creates "parent/jprobe-pid-random" and removes stale directories from the parent. */
  public static StubDirectory create(String parent) throws StubException {
    long handle = Native.createDirectory(parent.getBytes(StandardCharsets.UTF_8));
    return new StubDirectory(Native.directoryPath(handle), handle);
  }

  /**
   * Returns true if a client has requested the control gateway, by a file in this directory, since
   * the last call.
   */
  public boolean takeKnock() {
    return knock.delete();
  }

  public String path() {
    return path;
  }

  /** Removes the directory and its libraries. Mapped libraries stay mapped. */
  public synchronized void remove() {
    if (handle != 0) {
      Native.removeDirectory(handle);
      handle = 0;
    }
  }
}
