// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import io.jprobe.stub.Shape;
import java.util.List;

/**
 * Types of a probe's arguments. The integer types have libstapsdt's names, and USDT notes describe
 * them exactly. Notes describe the other three as the integers in which they are passed.
 */
public enum ArgumentType {
  /** 8 bits, unsigned; also for {@code boolean}, as 0 and 1. */
  UINT8(1),
  /** 8 bits, signed: {@code byte}. */
  INT8(-1),
  /** 16 bits, unsigned: {@code char}. */
  UINT16(2),
  /** 16 bits, signed: {@code short}. */
  INT16(-2),
  /** 32 bits, unsigned. */
  UINT32(4),
  /** 32 bits, signed: {@code int}. */
  INT32(-4),
  /** 64 bits, unsigned. */
  UINT64(8),
  /** 64 bits, signed: {@code long}. */
  INT64(-8),
  /**
   * {@code float}, passed as its IEEE 754 bits: an unsigned integer of 4 bytes for most tracers.
   */
  FLOAT(0x14, Shape.DOUBLE),
  /**
   * {@code double}, passed as its IEEE 754 bits: an unsigned integer of 8 bytes for most tracers.
   */
  DOUBLE(0x18, Shape.DOUBLE),
  /** {@code String}, passed as the address of its text in UTF-8 with a NUL after it; 0 for null. */
  STRING(0x28, Shape.STRING);

  /** Value of {@code enum argument_type} in argument_type.h. */
  final byte code;

  /** Kind of the value in the program: one of {@link Shape}'s constants. */
  final int kind;

  ArgumentType(int code) {
    this(code, Shape.LONG);
  }

  ArgumentType(int code, int kind) {
    this.code = (byte) code;
    this.kind = kind;
  }

  /** Returns the shape of the values that a probe with these arguments passes. */
  static int shape(List<ArgumentType> types) {
    int shape = 0;
    for (int i = 0; i < types.size(); i++) {
      shape |= Shape.at(i, types.get(i).kind);
    }
    return shape;
  }
}
