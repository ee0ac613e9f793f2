// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture.away;

import java.util.ArrayList;

/** Belongs to a different package than the traced classes, and is the superclass of one. */
@SuppressWarnings("unused")
public class Traveller {
  public String name;
  protected long miles;
  int luggage;
  private String passport;
  private Traveller companion;

  /** Accessible only through a public subclass. */
  static class Ticket {
    public int seat;

    public int price() {
      return seat;
    }
  }

  public static class Pass extends Ticket {}

  public String home() {
    return name;
  }

  protected int age() {
    return 1;
  }

  int size() {
    return 1;
  }

  private int secret() {
    return 1;
  }

  public Pass pass() {
    return null;
  }

  public ArrayList<String> places() {
    return null;
  }
}
