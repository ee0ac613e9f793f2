// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.lang.instrument.Instrumentation;
import java.lang.reflect.InvocationTargetException;

/**
 * Where the JVM hands over. With {@link AgentLoader} it is all of the agent that the application's
 * class path can see. Whatever goes wrong, the application starts.
 */
public final class Premain {
  private Premain() {}

  /** Called by the JVM for {@code -javaagent:jprobe.jar=options}. */
  public static void premain(String options, Instrumentation instrumentation) {
    try {
      AgentLoader loader = AgentLoader.ofJarOf(Premain.class);
      loader
          .loadClass("io.jprobe.agent.Agent")
          .getMethod("start", String.class, Instrumentation.class)
          .invoke(null, options, instrumentation);
    } catch (InvocationTargetException problem) {
      report(problem.getCause());
    } catch (Throwable problem) {
      report(problem);
    }
  }

  private static void report(Throwable problem) {
    System.err.println("jprobe: cannot start: " + problem + "; the program runs untraced");
  }
}
