// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * Warns once, before the first weaving, if a debugger's agent is in the JVM. The JVM clears the
 * breakpoints of a class that it retransforms, without notifying the debugger. This agent cannot
 * set them again, because only one agent at a time may have breakpoints.
 */
final class Debugger {
  private static final String LIBRARY = "/libjdwp.so";

  private boolean isChecked;

  void warnIfPresent() {
    if (!isChecked) {
      isChecked = true;
      if (isPresent()) {
        Log.line(
            "a debugger's agent (JDWP) is in this JVM: weaving or restoring a class clears its"
                + " breakpoints; set them again");
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
      // No debugger can be detected without /proc.
    }
    return false;
  }
}
