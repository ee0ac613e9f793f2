// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.stapsdt.ArgumentType;
import org.objectweb.asm.Type;

/** How a Java value travels in 64 bits; numbers are those of jprobe.v1.ValueType. */
public enum ValueType {
  BOOLEAN(1, ArgumentType.UINT8),
  BYTE(2, ArgumentType.INT8),
  SHORT(3, ArgumentType.INT16),
  INT(4, ArgumentType.INT32),
  LONG(5, ArgumentType.INT64),
  CHAR(6, ArgumentType.UINT16),
  FLOAT(7, ArgumentType.UINT32),
  DOUBLE(8, ArgumentType.UINT64),
  STRING(9, ArgumentType.UINT64),
  REFERENCE(10, ArgumentType.INT32),
  ABSENCE(11, ArgumentType.UINT32);

  public final int number;
  public final ArgumentType argumentType;

  ValueType(int number, ArgumentType argumentType) {
    this.number = number;
    this.argumentType = argumentType;
  }

  /** For any type but void. */
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
