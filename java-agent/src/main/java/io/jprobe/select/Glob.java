// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.Set;

/**
 * A pattern in which "*" stands for any characters within a name, "**" for any across packages, and
 * "." for the "$" of nested classes as well. Matching runs inside class loading: most names fail at
 * the fixed beginning or end and cost no allocation, and none takes more steps than the product of
 * both lengths.
 */
final class Glob {
  static final Glob ANYTHING = new Glob("**");

  private final String pattern;

  /** How many characters stand before the first star and after the last; both all, if none. */
  private final int head;

  private final int tail;

  Glob(String pattern) {
    this.pattern = pattern;
    int star = pattern.indexOf('*');
    this.head = star < 0 ? pattern.length() : star;
    this.tail = star < 0 ? 0 : pattern.length() - 1 - pattern.lastIndexOf('*');
  }

  boolean matches(String text) {
    return matches(text, 0);
  }

  boolean matchesAny(Set<String> texts) {
    for (String text : texts) {
      if (matches(text)) {
        return true;
      }
    }
    return false;
  }

  /** Whether the rest of a text from {@code start} on matches. */
  boolean matches(String text, int start) {
    int length = text.length() - start;
    if (length < head + tail || (head == pattern.length() && length != head)) {
      return false;
    }
    for (int i = 0; i < head; i++) {
      if (!same(pattern.charAt(i), text.charAt(start + i))) {
        return false;
      }
    }
    for (int i = 1; i <= tail; i++) {
      if (!same(pattern.charAt(pattern.length() - i), text.charAt(text.length() - i))) {
        return false;
      }
    }
    return head == pattern.length() || middleMatches(text, start + head, text.length() - tail);
  }

  /** Follows all ways through the pattern at once; reached[i] is its i-th character from head. */
  private boolean middleMatches(String text, int start, int end) {
    int count = pattern.length() - tail - head;
    if (count == 2 && pattern.charAt(head + 1) == '*') {
      return true;
    }
    boolean[] reached = new boolean[count + 1];
    reached[0] = true;
    passStars(reached);
    for (int t = start; t < end; t++) {
      char c = text.charAt(t);
      for (int i = count; i >= 0; i--) {
        boolean stays = reached[i] && i < count && isStar(i) && (c != '.' || isDouble(i));
        reached[i] = stays || (i > 0 && reached[i - 1] && same(pattern.charAt(head + i - 1), c));
      }
      passStars(reached);
    }
    return reached[count];
  }

  private void passStars(boolean[] reached) {
    for (int i = 0; i < reached.length - 1; i++) {
      if (reached[i] && isStar(i)) {
        reached[i + 1] = true;
      }
    }
  }

  private boolean isStar(int i) {
    return pattern.charAt(head + i) == '*';
  }

  /** Either star of "**" crosses packages. */
  private boolean isDouble(int i) {
    int at = head + i;
    return (at > 0 && pattern.charAt(at - 1) == '*')
        || (at + 1 < pattern.length() && pattern.charAt(at + 1) == '*');
  }

  private static boolean same(char pattern, char c) {
    return pattern == c ? pattern != '*' : pattern == '.' && c == '$';
  }

  /** Whether the pattern begins with these characters, written out. */
  boolean startsWith(String text, int length) {
    return length <= head && pattern.regionMatches(0, text, 0, length);
  }

  boolean hasDot() {
    return pattern.indexOf('.') >= 0;
  }

  @Override
  public String toString() {
    return pattern;
  }
}
