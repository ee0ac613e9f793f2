// SPDX-License-Identifier: Apache-2.0
package com.acme.depot;

import com.acme.depot.hidden.Crate;

/** Returns an object whose class other modules cannot name. */
public class Depot {
  private final Crate inner = new Crate();
  private final String town = "Riga";

  public Crate crate() {
    return inner;
  }
}
