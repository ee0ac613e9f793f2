// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.List;

/** The text after {@code -javaagent:jprobe.jar=}: {@code name=value,name=value}. */
final class Options {
  static final int MAX_STRING_LIMIT = 1024;

  /** Which methods have probes. */
  Selectors selectors = Selectors.NONE;

  /** Where the stub directory is made. */
  String directory = System.getProperty("java.io.tmpdir");

  /** Where captured strings are cut, in bytes of UTF-8. */
  int stringLimit = 128;

  private Options() {}

  static Options parse(String written) throws OptionsException, SelectorException {
    Options options = new Options();
    if (written == null || written.isEmpty()) {
      return options;
    }
    for (String option : split(written)) {
      int equals = option.indexOf('=');
      if (equals < 0) {
        throw new OptionsException(
            "option '" + option + "' has no value; expected name=value, as in probes=com.acme.*#*");
      }
      options.set(option.substring(0, equals), option.substring(equals + 1));
    }
    return options;
  }

  /** Splits at commas, but for those within parentheses: they belong to a selector. */
  private static List<String> split(String written) {
    List<String> parts = new ArrayList<>();
    int depth = 0;
    int start = 0;
    for (int i = 0; i < written.length(); i++) {
      char c = written.charAt(i);
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
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
        selectors = Selectors.parse(value);
        break;
      case "dir":
        directory = value;
        break;
      case "string-limit":
        stringLimit = parseLimit(value);
        break;
      default:
        throw new OptionsException(
            "there is no option '" + name + "'; there are probes, dir and string-limit");
    }
  }

  private static int parseLimit(String value) throws OptionsException {
    try {
      int limit = Integer.parseInt(value);
      if (limit >= 1 && limit <= MAX_STRING_LIMIT) {
        return limit;
      }
    } catch (NumberFormatException e) {
      // Said below.
    }
    throw new OptionsException(
        "string-limit is '" + value + "'; expected a number of bytes from 1 to "
            + MAX_STRING_LIMIT);
  }
}
