// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/** Size and signedness of a probe's argument, which is all that its USDT note describes. */
public enum ArgumentSize {
  UINT8(1),
  INT8(-1),
  UINT16(2),
  INT16(-2),
  UINT32(4),
  INT32(-4),
  UINT64(8),
  INT64(-8);

  /** Size in bytes, negative for signed arguments. */
  final byte bytes;

  ArgumentSize(int bytes) {
    this.bytes = (byte) bytes;
  }
}
