// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.lang.instrument.Instrumentation;
import java.lang.reflect.InvocationTargetException;

/**
 * Where the JVM hands over. With {@link AgentLoader} it is all of the agent that the application's
 * class path can see. Whatever goes wrong, the application goes on.
 */
public final class Premain {
  /**
   * Kept for the JVM's life, also when the agent was reset: calls that began in woven methods may
   * still come to native code that would go with the loader.
   */
  private static AgentLoader loader;

  private Premain() {}

  /** Called by the JVM for {@code -javaagent:jprobe.jar=options}. */
  public static void premain(String options, Instrumentation instrumentation) {
    call("start", options, instrumentation);
  }

  /** Called by the JVM when the agent is loaded into it while it runs. */
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
      // What premain throws would end the JVM.
    }
  }
}
