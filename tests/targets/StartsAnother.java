// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Path;

/** Runs FromFirst in a JVM of its own, and exits with its exit code and 1. */
public class StartsAnother {
  static int start() throws Exception {
    String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    String classes = System.getProperty("java.class.path");
    return new ProcessBuilder(java, "-cp", classes, "FromFirst").inheritIO().start().waitFor();
  }

  public static void main(String[] arguments) throws Exception {
    System.exit(start() + 1);
  }
}
