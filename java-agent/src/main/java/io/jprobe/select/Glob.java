// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/**
 * A pattern in which "*" stands for any characters within a name and "**" for any across packages.
 * Matching runs inside class loading, so it allocates nothing and uses no java.util.regex.
 */
final class Glob {
  private final String pattern;

  Glob(String pattern) {
    this.pattern = pattern;
  }

  boolean matches(String text) {
    return matches(0, text, 0);
  }

  private boolean matches(int p, String text, int t) {
    while (p < pattern.length()) {
      char c = pattern.charAt(p);
      if (c == '*') {
        boolean across = p + 1 < pattern.length() && pattern.charAt(p + 1) == '*';
        return matchesStar(p + (across ? 2 : 1), text, t, across);
      }
      if (t == text.length() || text.charAt(t) != c) {
        return false;
      }
      p++;
      t++;
    }
    return t == text.length();
  }

  /** Tries every length for a star; the rest of the pattern starts at {@code rest}. */
  private boolean matchesStar(int rest, String text, int t, boolean across) {
    if (rest == pattern.length() && across) {
      return true;
    }
    for (int end = t; ; end++) {
      if (matches(rest, text, end)) {
        return true;
      }
      if (end == text.length() || (!across && text.charAt(end) == '.')) {
        return false;
      }
    }
  }

  @Override
  public String toString() {
    return pattern;
  }
}
