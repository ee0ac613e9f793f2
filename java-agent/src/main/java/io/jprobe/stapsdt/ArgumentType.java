// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import io.jprobe.stub.Shape;
import java.util.List;

/**
 * The types of a probe's arguments: what a USDT note can describe, with libstapsdt's names, and
 * three that a note describes as the words that they are passed in.
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
  /** {@code float}, passed as its IEEE 754 bits: an unsigned integer of 4 bytes to most tracers. */
  FLOAT(0x14, Shape.DOUBLE),
  /**
   * {@code double}, passed as its IEEE 754 bits: an unsigned integer of 8 bytes to most tracers.
   */
  DOUBLE(0x18, Shape.DOUBLE),
  /** {@code String}, passed as the address of its text in UTF-8 with a NUL after it; 0 for null. */
  STRING(0x28, Shape.STRING);

  /** The C side's number, {@code enum argument_type} in provider.h. */
  final byte code;

  /** Which of {@link Probe#fire(Object...) fire}'s parameter types passes it. */
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
