// SPDX-License-Identifier: Apache-2.0
package com.acme.parcels;

/** What a container's loader imports from somewhere else. */
public class CounterBase {
  protected int add(int one, int other) {
    return one + other;
  }
}
