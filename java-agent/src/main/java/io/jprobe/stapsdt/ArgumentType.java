// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

/**
 * The types that a USDT note can describe; names and numbers are libstapsdt's {@code ArgType_t}.
 */
public enum ArgumentType {
  UINT8(1),
  INT8(-1),
  UINT16(2),
  INT16(-2),
  UINT32(4),
  INT32(-4),
  UINT64(8),
  INT64(-8);

  /** Size in bytes, negative for signed types. */
  public final byte size;

  ArgumentType(int size) {
    this.size = (byte) size;
  }
}
