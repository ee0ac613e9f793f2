// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.StubException;
import java.util.ArrayList;
import java.util.List;

/** Some consecutive probes of a stub library: "generation:first-last". */
final class SlotRange {
  /** Maximum number of ranges in a list. */
  static final int MAX_RANGES = 20_000;

  final int generation;
  final int first;
  final int last;

  private SlotRange(int generation, int first, int last) {
    this.generation = generation;
    this.first = first;
    this.last = last;
  }

  /** Returns the ranges of a list such as "1:0-5,2:3-3"; an empty text is an empty list. */
  static List<SlotRange> parse(String written) throws StubException {
    List<SlotRange> ranges = new ArrayList<>();
    if (written.isEmpty()) {
      return ranges;
    }
    for (int start = 0; start <= written.length(); ) {
      int comma = written.indexOf(',', start);
      int end = comma < 0 ? written.length() : comma;
      if (ranges.size() == MAX_RANGES) {
        throw new StubException(
            "cannot lease probes: more than " + MAX_RANGES + " ranges; lease longer ranges");
      }
      ranges.add(parseOne(written.substring(start, end)));
      start = end + 1;
    }
    return ranges;
  }

  private static SlotRange parseOne(String written) throws StubException {
    int colon = written.indexOf(':');
    int hyphen = written.indexOf('-', colon + 1);
    if (colon >= 0 && hyphen >= 0) {
      int generation = number(written.substring(0, colon));
      int first = number(written.substring(colon + 1, hyphen));
      int last = number(written.substring(hyphen + 1));
      if (generation >= 0 && first >= 0 && last >= first) {
        return new SlotRange(generation, first, last);
      }
    }
    throw new StubException(
        "cannot lease probes '"
            + (written.length() > 40 ? written.substring(0, 40) + "…" : written)
            + "'; expected generation:first-last, as in 1:0-5");
  }

  /** Returns a number of ASCII digits; -1 if it is none, or too large. */
  private static int number(String digits) {
    if (digits.isEmpty() || digits.length() > 9) {
      return -1;
    }
    int number = 0;
    for (int i = 0; i < digits.length(); i++) {
      char digit = digits.charAt(i);
      if (digit < '0' || digit > '9') {
        return -1;
      }
      number = 10 * number + digit - '0';
    }
    return number;
  }

  @Override
  public String toString() {
    return generation + ":" + first + "-" + last;
  }
}
