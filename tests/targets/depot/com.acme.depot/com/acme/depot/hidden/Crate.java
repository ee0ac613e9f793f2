// SPDX-License-Identifier: Apache-2.0
package com.acme.depot.hidden;

/** Public class in a package that is not exported. */
public class Crate {
  public final int weight = 5;
  private final int secret = 6;

  public String label() {
    return "fragile";
  }
}
