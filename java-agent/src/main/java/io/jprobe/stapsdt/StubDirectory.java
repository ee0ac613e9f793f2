// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import java.nio.charset.StandardCharsets;

/** This process's directory of stub libraries, which others recognise by its name and lock. */
public final class StubDirectory {
  private final String path;

  private StubDirectory(String path) {
    this.path = path;
  }

  /** Makes "parent/jprobe-pid" and sweeps what dead processes left in the parent. */
  public static StubDirectory create(String parent) throws StapsdtException {
    return new StubDirectory(Native.createDirectory(parent.getBytes(StandardCharsets.UTF_8)));
  }

  public String path() {
    return path;
  }

  /** Removes the directory and the libraries in it; what is mapped stays mapped. */
  public void remove() {
    Native.removeDirectory(path.getBytes(StandardCharsets.UTF_8));
  }
}
