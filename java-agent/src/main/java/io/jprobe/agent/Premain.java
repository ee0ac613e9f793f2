// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.lang.instrument.Instrumentation;
import java.lang.reflect.InvocationTargetException;

/**
 * The entry point that the JVM calls. Together with {@link AgentLoader}, the only part of the agent
 * that is visible on the application's class path. If the agent fails, the application continues.
 */
public final class Premain {
  /**
   * Kept for the lifetime of the JVM, even after a reset. Calls that began in woven methods may
   * still reach native code, which would be unloaded with the loader.
   */
  private static AgentLoader loader;

  private Premain() {}

  /** Called by the JVM for {@code -javaagent:jprobe.jar=options}. */
  public static void premain(String options, Instrumentation instrumentation) {
    call("start", options, instrumentation);
  }

  /** Called by the JVM when the agent is loaded into it at run time. */
  public static void agentmain(String options, Instrumentation instrumentation) {
    call("load", options, instrumentation);
  }

  private static synchronized void call(
      String method, String options, Instrumentation instrumentation) {
    try {
      if (loader == null) {
        loader = AgentLoader.ofJarOf(Premain.class);
      }
      loader
          .loadClass("io.jprobe.agent.Agent")
          .getMethod(method, String.class, Instrumentation.class)
          .invoke(null, options, instrumentation);
    } catch (InvocationTargetException problem) {
      report(problem.getCause());
    } catch (Throwable problem) {
      report(problem);
    }
  }

  private static void report(Throwable problem) {
    try {
      LogLine.of("cannot start: " + problem + "; the program runs untraced").write();
    } catch (Throwable e) {
      // An exception from premain would end the JVM.
    }
  }
}
