// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.Instrumentation;

/** An agent that does nothing: what a JVM does for an agent, whichever it is. */
public class IdleAgent {
  public static void premain(String options, Instrumentation instrumentation) {}
}
