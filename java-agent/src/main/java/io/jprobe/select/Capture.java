// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** A value that a selector captures, and its name. */
public final class Capture {
  public final String name;
  public final Path path;

  Capture(String name, Path path) {
    this.name = name;
    this.path = path;
  }

  /** Returns true if it stands for all arguments, each with its own name: {@code arguments}. */
  public boolean isAllArguments() {
    return path.root.equals(PathParser.ARGUMENTS) && path.steps.isEmpty();
  }
}
