// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.stub.ArgumentSize;
import org.objectweb.asm.Type;

/** Encoding of a Java value in 64 bits. Numbers are those of jprobe.v1.ValueType. */
public enum ValueType {
  BOOLEAN(1, ArgumentSize.UINT8),
  BYTE(2, ArgumentSize.INT8),
  SHORT(3, ArgumentSize.INT16),
  INT(4, ArgumentSize.INT32),
  LONG(5, ArgumentSize.INT64),
  CHAR(6, ArgumentSize.UINT16),
  FLOAT(7, ArgumentSize.UINT32),
  DOUBLE(8, ArgumentSize.UINT64),
  STRING(9, ArgumentSize.UINT64),
  REFERENCE(10, ArgumentSize.INT32),
  ABSENCE(11, ArgumentSize.UINT32);

  public final int number;
  public final ArgumentSize argumentSize;

  ValueType(int number, ArgumentSize argumentSize) {
    this.number = number;
    this.argumentSize = argumentSize;
  }

  /** Returns the encoding of any type except void. */
  static ValueType of(Type type) {
    switch (type.getSort()) {
      case Type.BOOLEAN:
        return BOOLEAN;
      case Type.BYTE:
        return BYTE;
      case Type.SHORT:
        return SHORT;
      case Type.INT:
        return INT;
      case Type.LONG:
        return LONG;
      case Type.CHAR:
        return CHAR;
      case Type.FLOAT:
        return FLOAT;
      case Type.DOUBLE:
        return DOUBLE;
      default:
        return type.getDescriptor().equals("Ljava/lang/String;") ? STRING : REFERENCE;
    }
  }
}
