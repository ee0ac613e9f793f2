// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.Set;

/**
 * A pattern in which "*" matches any characters within a name, "**" matches any characters across
 * packages, and "." also matches the "$" of nested classes. Matching runs during class loading:
 * most names fail at the fixed beginning or end without an allocation, and the number of steps is
 * at most the product of both lengths.
 */
final class Glob {
  static final Glob ANYTHING = new Glob("**");

  private final String pattern;

  /**
   * Number of characters before the first star and after the last; the whole length if there is no
   * star.
   */
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

  /** Returns true if the text from {@code start} on matches. */
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

  /**
   * Tracks all matching positions of the pattern at once; reached[i] stands for its i-th character
   * from head.
   */
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

  /** Returns true if this star is one of "**", both of which cross packages. */
  private boolean isDouble(int i) {
    int at = head + i;
    return (at > 0 && pattern.charAt(at - 1) == '*')
        || (at + 1 < pattern.length() && pattern.charAt(at + 1) == '*');
  }

  private static boolean same(char pattern, char c) {
    return pattern == c ? pattern != '*' : pattern == '.' && c == '$';
  }

  /** Returns true if the pattern begins with these characters, without stars. */
  boolean startsWith(String text, int length) {
    return length <= head && pattern.regionMatches(0, text, 0, length);
  }

  boolean hasStar() {
    return head < pattern.length();
  }

  boolean hasDot() {
    return pattern.indexOf('.') >= 0;
  }

  @Override
  public String toString() {
    return pattern;
  }
}
