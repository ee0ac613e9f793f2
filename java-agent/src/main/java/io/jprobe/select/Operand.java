// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** One side of a comparison: a {@link Path} or a {@link Literal}. */
public abstract class Operand {
  /** Column in the selector, counted from 0. */
  public final int column;

  Operand(int column) {
    this.column = column;
  }
}
