// SPDX-License-Identifier: Apache-2.0
package com.acme.parcels;

/** Superclass that a container's loader imports from another loader. */
public class CounterBase {
  protected int add(int one, int other) {
    return one + other;
  }
}
