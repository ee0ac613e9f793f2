// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * Warns once, when something is to be woven, where a debugger's agent is in the JVM. The JVM clears
 * the breakpoints of a class that it retransforms, and the debugger is not told. They cannot be set
 * again here: at any time only one agent may have breakpoints.
 */
final class Debugger {
  private static final String LIBRARY = "/libjdwp.so";

  private boolean hasLooked;

  void warnIfPresent() {
    if (!hasLooked) {
      hasLooked = true;
      if (isPresent()) {
        Log.line(
            "there is a debugger's agent (JDWP) in this JVM: breakpoints of a class are lost when"
                + " the class is woven, and when it is restored; set them again");
      }
    }
  }

  private static boolean isPresent() {
    try (BufferedReader maps =
        new BufferedReader(
            new InputStreamReader(
                new FileInputStream("/proc/self/maps"), StandardCharsets.ISO_8859_1))) {
      for (String line; (line = maps.readLine()) != null; ) {
        if (line.endsWith(LIBRARY)) {
          return true;
        }
      }
    } catch (IOException | RuntimeException e) {
      // Without /proc nothing is known.
    }
    return false;
  }
}
