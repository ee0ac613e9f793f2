// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** Detects string literals in a text that is read character by character. */
final class Quotes {
  private char quote;
  private boolean escaped;

  /** Returns true if the next character belongs to a string literal or is one of its quotes. */
  boolean enclose(char c) {
    if (quote == 0) {
      quote = c == '\'' || c == '"' ? c : 0;
      return quote != 0;
    }
    if (escaped) {
      escaped = false;
    } else if (c == '\\') {
      escaped = true;
    } else if (c == quote) {
      quote = 0;
    }
    return true;
  }
}
