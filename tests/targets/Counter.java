// SPDX-License-Identifier: Apache-2.0
package com.acme.parcels;

import java.util.function.IntUnaryOperator;

/** Counter for class loaders of all kinds, which share only java.util.function. */
public class Counter extends CounterBase implements IntUnaryOperator {
  @Override
  public int applyAsInt(int number) {
    return add(number, 1);
  }
}
