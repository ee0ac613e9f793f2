// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

/**
 * What the agent has to say, one line each, on stderr. No logging framework: it would be the
 * application's, and loading it early can change the application.
 */
final class Log {
  private Log() {}

  static void line(String message) {
    System.err.println("jprobe: " + message);
  }

  /** A throwable in a line: its type, unless its message is meant for users. */
  static String describe(Throwable problem) {
    return problem.getMessage() == null ? problem.toString() : describeWithType(problem);
  }

  private static String describeWithType(Throwable problem) {
    boolean ours = problem.getClass().getName().startsWith("io.jprobe.");
    String text = ours ? problem.getMessage() : problem.toString();
    return text.replace('\n', ' ');
  }
}
