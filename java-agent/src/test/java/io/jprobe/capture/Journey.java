// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.away.Traveller;
import java.io.StreamTokenizer;
import java.math.BigDecimal;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.TreeMap;

/** Types that captures evaluate. The class file contains the names of the arguments. */
@SuppressWarnings("unused")
class Journey extends Traveller {
  enum Mood {
    GOOD,
    BAD
  }

  /** Property x is a field, y a method and a getter, z a getter, open an "is" method. */
  abstract static class Properties implements Comparable<Properties> {
    static int nowhere;
    int x;
    int y;

    abstract long x();

    abstract long getX();

    abstract String z();

    abstract int getZ();

    abstract int getCount();

    abstract boolean isOpen();

    abstract void nothing();

    abstract int of(int argument);

    static int still() {
      return 1;
    }

    abstract Properties copy();
  }

  /** Also has a bridge method copy() that returns a Properties. */
  abstract static class Copied extends Properties {
    @Override
    abstract Copied copy();
  }

  interface Named {
    String name();
  }

  private int legs;
  Traveller guide;

  Journey(int legs) {}

  long travel(
      Properties properties,
      Traveller other,
      Copied copied,
      Named named,
      Mood mood,
      StreamTokenizer tokens,
      String[] places) {
    return 0;
  }

  static void start(int count, double fare, char zone, boolean express, String to, Integer boxed) {}

  void look(
      Map<String, String> map,
      TreeMap<String, String> sorted,
      BigDecimal price,
      Optional<String> seat,
      OptionalInt row) {}

  void pause() {}

  int total() {
    return 0;
  }

  Journey self() {
    return this;
  }

  static class Trouble extends Exception {
    private static final long serialVersionUID = 1L;

    @Override
    public String getMessage() {
      return null;
    }
  }
}
