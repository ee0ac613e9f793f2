// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

/** The limits that a client asks for: "max-methods=8000,string-limit=512". 0 for one not given. */
final class LimitSettings {
  static final int MAX_METHODS = 1_000_000;

  final int maxMethods;
  final int stringLimit;

  LimitSettings(int maxMethods, int stringLimit) {
    this.maxMethods = maxMethods;
    this.stringLimit = stringLimit;
  }

  static LimitSettings parse(String written) throws OptionsException {
    int maxMethods = 0;
    int stringLimit = 0;
    for (String each : written.split(",")) {
      int equals = Math.max(each.indexOf('='), 0);
      String name = each.substring(0, equals);
      String value = each.substring(Math.min(equals + 1, each.length()));
      switch (name) {
        case "max-methods":
          maxMethods = parseMaxMethods(value);
          break;
        case "string-limit":
          stringLimit = parseStringLimit(value);
          break;
        default:
          throw new OptionsException(
              "unknown limit '" + each + "'; expected max-methods=N or string-limit=N");
      }
    }
    return new LimitSettings(maxMethods, stringLimit);
  }

  static int parseMaxMethods(String value) throws OptionsException {
    return Options.parse("max-methods", value, "a number of methods", 1, MAX_METHODS);
  }

  static int parseStringLimit(String value) throws OptionsException {
    return Options.parse("string-limit", value, "a number of bytes", 1, Options.MAX_STRING_LIMIT);
  }
}
