// SPDX-License-Identifier: Apache-2.0
package com.acme.parcels;

import java.util.function.IntUnaryOperator;

/** Is loaded by class loaders of all sorts; they have java.util.function in common. */
public class Counter extends CounterBase implements IntUnaryOperator {
  @Override
  public int applyAsInt(int number) {
    return add(number, 1);
  }
}
