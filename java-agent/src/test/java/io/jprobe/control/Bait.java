// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

/** Counts the calls of its methods, which {@link ForeignCommands} must not reach. */
public class Bait {
  public static int touched;

  public Bait() {
    touch();
  }

  public static void touch() {
    touched++;
  }
}
