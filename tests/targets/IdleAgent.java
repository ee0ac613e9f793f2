// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.Instrumentation;

/** An agent that does nothing. Shows what a JVM does for any agent. */
public class IdleAgent {
  public static void premain(String options, Instrumentation instrumentation) {}
}
