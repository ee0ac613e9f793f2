// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Finds the names that a misspelled name may stand for. Compares without regard to case. A JVM may
 * have any number of names of any length, so the time and the lengths are bounded.
 */
public final class NearestNames {
  public static final int MAX_RESULTS = 3;

  private static final int MAX_LENGTH = 128;

  /** Minimum length of a name that may be a part of another one. */
  private static final int MIN_PART = 4;

  /** Minimum part, in percent, that a shorter name has of the wanted one. */
  private static final int MIN_PERCENT = 60;

  /** Distance of a name that contains the other one, and part of a letter for each further one. */
  private static final int PART = 2;

  /** Names that are compared between two looks at the clock. */
  private static final int BATCH = 1024;

  private final String wanted;
  private final int most;

  public NearestNames(String wanted) {
    this.wanted = shortened(wanted);
    this.most = Math.min(3, (this.wanted.length() + 2) / 3);
  }

  private static String shortened(String name) {
    return name.substring(0, Math.min(name.length(), MAX_LENGTH)).toLowerCase(Locale.ROOT);
  }

  /**
   * Returns the nearest of these names, nearest first, at most {@link #MAX_RESULTS}.
   *
   * @param deadline a value of System.nanoTime() after which no more names are compared
   */
  public List<String> among(Collection<String> names, long deadline) {
    Map<String, Integer> near = new LinkedHashMap<>();
    int compared = 0;
    for (String name : names) {
      if (++compared % BATCH == 0 && System.nanoTime() - deadline > 0) {
        break;
      }
      int distance = distance(name);
      if (distance >= 0) {
        near.merge(name, distance, Math::min);
      }
    }
    List<Map.Entry<String, Integer>> sorted = new ArrayList<>(near.entrySet());
    if (near.containsValue(0)) {
      // The name itself, perhaps in other case: the others are too far away then.
      sorted.removeIf(each -> each.getValue() > 0);
    }
    sorted.sort(
        Map.Entry.<String, Integer>comparingByValue()
            .thenComparing(Map.Entry.comparingByKey(Comparator.comparingInt(String::length)))
            .thenComparing(Map.Entry.comparingByKey()));
    return sorted.stream().limit(MAX_RESULTS).map(Map.Entry::getKey).collect(Collectors.toList());
  }

  /** Returns a sentence that asks whether one of these was meant; empty if there are none. */
  public static String question(List<String> names) {
    if (names.isEmpty()) {
      return "";
    }
    String last = names.get(names.size() - 1);
    String first = String.join(", ", names.subList(0, names.size() - 1));
    return "did you mean " + first + (first.isEmpty() ? "" : " or ") + last + "?";
  }

  /** Returns a number that is smaller the nearer the name is; -1 if it is not near. */
  int distance(String name) {
    if (name.length() > MAX_LENGTH) {
      return -1;
    }
    String other = shortened(name);
    int edits = edits(wanted, other, most);
    if (edits <= most) {
      return 2 * edits;
    }
    String shorter = wanted.length() < other.length() ? wanted : other;
    String longer = shorter == wanted ? other : wanted;
    int percent = 100 * shorter.length() / Math.max(1, wanted.length());
    return shorter.length() >= MIN_PART && percent >= MIN_PERCENT && longer.contains(shorter)
        ? 2 * PART + longer.length() - shorter.length()
        : -1;
  }

  /**
   * Returns the number of letters to add, remove, replace or swap with the next one; a larger
   * number than {@code most} as soon as it must be larger.
   */
  private static int edits(String one, String other, int most) {
    int difference = Math.abs(one.length() - other.length());
    if (difference > most) {
      return most + 1;
    }
    int[] beforeLast = new int[other.length() + 1];
    int[] last = new int[other.length() + 1];
    int[] now = new int[other.length() + 1];
    for (int j = 0; j <= other.length(); j++) {
      last[j] = j;
    }
    for (int i = 1; i <= one.length(); i++) {
      now[0] = i;
      int least = i;
      for (int j = 1; j <= other.length(); j++) {
        char a = one.charAt(i - 1);
        char b = other.charAt(j - 1);
        int edits = Math.min(last[j - 1] + (a == b ? 0 : 1), Math.min(last[j], now[j - 1]) + 1);
        if (i > 1 && j > 1 && a == other.charAt(j - 2) && b == one.charAt(i - 2)) {
          edits = Math.min(edits, beforeLast[j - 2] + 1);
        }
        now[j] = edits;
        least = Math.min(least, edits);
      }
      if (least > most) {
        return most + 1;
      }
      int[] free = beforeLast;
      beforeLast = last;
      last = now;
      now = free;
    }
    return last[other.length()];
  }
}
