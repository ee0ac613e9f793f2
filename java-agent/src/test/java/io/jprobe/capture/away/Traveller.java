// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture.away;

import java.util.ArrayList;

/** Of another package than the classes that are traced, and the superclass of one of them. */
@SuppressWarnings("unused")
public class Traveller {
  public String name;
  protected long miles;
  int luggage;
  private String passport;
  private Traveller companion;

  /** Hidden behind a class that everybody can name. */
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
