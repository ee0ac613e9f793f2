// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.stub.NativeLibrary;
import io.jprobe.stub.StandardError;

/**
 * Writes the agent's messages, one line each, to the program's standard error. Does not use
 * System.err, which the program may set to null or to a stream that throws or blocks. All threads
 * may log, including one of the program that is loading a class, so no method here blocks, throws
 * or calls the program. A logging framework would be the application's own, and loading it early
 * can change the application.
 */
final class Log {
  private Log() {}

  static void line(String message) {
    try {
      LogLine line = LogLine.of(message);
      if (NativeLibrary.isLoaded()) {
        StandardError.write(line.bytes());
      } else {
        line.write();
      }
    } catch (Throwable e) {
      // Memory or stack does not suffice for a line.
      if (NativeLibrary.isLoaded()) {
        StandardError.countLost();
      }
    }
  }

  /** Logs how many lines could not be written, if one can be written now. */
  static void reportLost() {
    StandardError.reportLost();
  }

  /**
   * Describes a throwable in one line: its message if that is meant for users, otherwise its type
   * too. Calls its methods only if its class is the JDK's or the agent's: those of the program may
   * throw or not return.
   */
  static String describe(Throwable problem) {
    Class<?> type = problem.getClass();
    ClassLoader loader = type.getClassLoader();
    if (loader == Log.class.getClassLoader() && problem.getMessage() != null) {
      return problem.getMessage().replace('\n', ' ');
    }
    if (loader == null || loader == ClassLoader.getPlatformClassLoader()) {
      return problem.toString().replace('\n', ' ');
    }
    String message = NativeLibrary.isLoaded() ? StandardError.messageOf(problem) : null;
    return message == null ? type.getName() : type.getName() + ": " + message.replace('\n', ' ');
  }
}
