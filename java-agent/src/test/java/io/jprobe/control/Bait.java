// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

/** Counts what is done to it; for {@link ForeignCommands}, none of which may do it. */
public class Bait {
  public static int touched;

  public Bait() {
    touch();
  }

  public static void touch() {
    touched++;
  }
}
