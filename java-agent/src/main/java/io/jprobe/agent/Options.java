// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.DirectLane;
import io.jprobe.catalog.StackMemory;
import io.jprobe.guard.Limits;
import io.jprobe.layout.DirectLayout;
import io.jprobe.layout.StacksLayout;
import io.jprobe.layout.WordsLayout;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** The agent options: {@code name=value,name=value} after {@code -javaagent:jprobe.jar=}. */
final class Options {
  static final int MAX_STRING_LIMIT = WordsLayout.MAX_TEXT;

  /** The options of users. */
  static final List<String> NAMES =
      List.of(
          "probes",
          "config",
          "dir",
          "control",
          "max-overhead",
          "max-methods",
          "string-limit",
          "ring-size",
          "stack-memory",
          "hold");

  private static final int MAX_HOLD = 600;

  private static final int DEFAULT_STRING_LIMIT = 1_024;

  private static final int DEFAULT_MAX_METHODS = 5_000;

  /** Selectors of the methods that get probes. */
  Selectors selectors = Selectors.NONE;

  /** Directory in which the stub directory is created. */
  String directory = System.getProperty("java.io.tmpdir");

  /** Maximum length of captured strings in bytes of UTF-8; longer ones are truncated. */
  int stringLimit = DEFAULT_STRING_LIMIT;

  /** Maximum number of methods with probes; beyond it, no method has any. */
  int maxMethods = DEFAULT_MAX_METHODS;

  /** Size of all ring buffers of the direct lane together, in bytes. */
  int ringBytes = DirectLane.DEFAULT_RING_BYTES;

  /** Size of the memory in which captured stacks are described, in bytes. */
  int stackBytes = StackMemory.DEFAULT_BYTES;

  /** Limit on the cost of all probes, in percent of one core; 0 for no limit. */
  int maxOverhead = Limits.UNSET;

  /** True if the agent opens its control gateway at startup. */
  boolean control;

  /**
   * Maximum time in seconds for which the program waits before main for a collector; 0 for none.
   */
  int hold;

  /** Version of the jcollect that loads the agent; empty if not given. */
  String version = "";

  /** File for the result of loading the agent; empty for stderr. */
  String report = "";

  private Options() {}

  static Options parse(String written) throws OptionsException, SelectorException {
    Options options = new Options();
    if (written == null || written.isEmpty()) {
      return options;
    }
    for (String option : split(written)) {
      int equals = option.indexOf('=');
      if (equals < 0) {
        checkSeparator(option);
        throw new OptionsException(
            "option '" + option + "' has no value; expected name=value, as in probes=com.acme.*#*");
      }
      options.set(option.substring(0, equals), option.substring(equals + 1));
    }
    return options;
  }

  /** Splits at commas outside of brackets and quotes; the others belong to a selector. */
  private static List<String> split(String written) {
    List<String> parts = new ArrayList<>();
    int depth = 0;
    int start = 0;
    char quote = 0;
    for (int i = 0; i < written.length(); i++) {
      char c = written.charAt(i);
      if (quote != 0) {
        if (c == '\\') {
          i++;
        } else if (c == quote) {
          quote = 0;
        }
        continue;
      }
      quote = c == '"' || c == '\'' ? c : 0;
      depth += c == '(' || c == '[' ? 1 : c == ')' || c == ']' ? -1 : 0;
      if (c == ',' && depth <= 0) {
        parts.add(written.substring(start, i));
        start = i + 1;
      }
    }
    parts.add(written.substring(start));
    return parts;
  }

  private void set(String name, String value) throws OptionsException, SelectorException {
    switch (name) {
      case "probes":
        selectors = selectors.and(Selectors.parse(value));
        break;
      case "config":
        selectors = selectors.and(Selectors.parseLines(readLines(value), value));
        break;
      case "dir":
        directory = value;
        break;
      case "string-limit":
        stringLimit = LimitSettings.parseStringLimit(value);
        break;
      case "ring-size":
        ringBytes = parseSize(name, value, DirectLayout.MIN_BYTES, DirectLayout.MAX_BYTES);
        break;
      case "stack-memory":
        stackBytes = parseSize(name, value, StacksLayout.MIN_BYTES, StacksLayout.MAX_BYTES);
        break;
      case "max-methods":
        maxMethods = LimitSettings.parseMaxMethods(value);
        break;
      case "max-overhead":
        maxOverhead = parse(name, value, "a percentage of one core", 0, 100_000);
        break;
      case "control":
        control = parseSwitch(name, value);
        break;
      case "hold":
        hold = parse(name, value, "a number of seconds", 0, MAX_HOLD);
        break;
      case "version":
        version = value;
        break;
      case "report":
        report = value;
        break;
      default:
        checkSeparator(name);
        throw new OptionsException(
            "unknown option '" + name + "'; expected one of " + String.join(", ", NAMES));
    }
  }

  /** Throws an exception if a selector stands where an option should. */
  private static void checkSeparator(String option) throws OptionsException {
    if (option.contains("#") || option.contains("::")) {
      throw new OptionsException(
          "'"
              + option
              + "' is no option; selectors are separated by ';', as in"
              + " probes=com.acme.*#*;!**#get*");
    }
  }

  private static List<String> readLines(String file) throws OptionsException {
    List<String> lines = new ArrayList<>();
    try (BufferedReader in =
        new BufferedReader(
            new InputStreamReader(new FileInputStream(file), StandardCharsets.UTF_8))) {
      for (String line; (line = in.readLine()) != null; ) {
        lines.add(line);
      }
    } catch (IOException e) {
      // The exception's message is the name and the reason if the file is missing.
      throw new OptionsException(
          "cannot read config="
              + file
              + ": "
              + e.getMessage()
              + "; expected a file of selectors,"
              + " one per line");
    }
    return lines;
  }

  private static boolean parseSwitch(String name, String value) throws OptionsException {
    if (!value.equals("on") && !value.equals("off")) {
      throw new OptionsException(name + " is '" + value + "'; expected on or off");
    }
    return value.equals("on");
  }

  /** Java also reads digits of other scripts. */
  private static boolean isAscii(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (text.charAt(i) > '~') {
        return false;
      }
    }
    return true;
  }

  /** Reads a number of bytes, KiB or MiB: 16777216, 16384k or 16m. */
  private static int parseSize(String name, String value, int min, int max)
      throws OptionsException {
    String unit = value.isEmpty() ? "" : value.substring(value.length() - 1);
    int shift = unit.equalsIgnoreCase("k") ? 10 : unit.equalsIgnoreCase("m") ? 20 : 0;
    String digits = shift == 0 ? value : value.substring(0, value.length() - 1);
    try {
      long bytes = (long) Integer.parseInt(digits) << shift;
      if (bytes >= min && bytes <= max && isAscii(value)) {
        return (int) bytes;
      }
    } catch (NumberFormatException e) {
      // Reported below.
    }
    throw new OptionsException(
        name
            + " is '"
            + value
            + "'; expected a number of bytes from "
            + (min >> 10)
            + "k to "
            + (max >> 20)
            + "m, as in 16m");
  }

  static int parse(String name, String value, String what, int min, int max)
      throws OptionsException {
    try {
      int number = Integer.parseInt(value);
      if (number >= min && number <= max && isAscii(value)) {
        return number;
      }
    } catch (NumberFormatException e) {
      // Reported below.
    }
    throw new OptionsException(
        name + " is '" + value + "'; expected " + what + " from " + min + " to " + max);
  }
}
