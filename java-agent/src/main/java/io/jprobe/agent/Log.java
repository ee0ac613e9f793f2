// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.stub.NativeLibrary;
import io.jprobe.stub.StandardError;

/**
 * What the agent has to say, one line each, on the program's standard error; not by System.err,
 * which is the program's, and may be null, throw, or wait. Any thread may call this, that of the
 * program which loads a class among them: nothing here waits, throws or calls the program. No
 * logging framework: it would be the application's, and loading it early can change the
 * application.
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
      // There is no memory for a line, or no stack.
      if (NativeLibrary.isLoaded()) {
        StandardError.countLost();
      }
    }
  }

  /** Tells of lines that could not be written, if one can be now. */
  static void reportLost() {
    StandardError.reportLost();
  }

  /**
   * A throwable in a line: its type, unless its message is meant for users. Its methods are called
   * if they are the JDK's or ours: those of the program may throw, or never return.
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
