// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** A value that a selector asks for, and what it calls it. */
public final class Capture {
  public final String name;
  public final Path path;

  Capture(String name, Path path) {
    this.name = name;
    this.path = path;
  }
}
