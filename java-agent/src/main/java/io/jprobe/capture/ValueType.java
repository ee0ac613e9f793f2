// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.layout.ValueTypeLayout;
import io.jprobe.stub.ArgumentSize;
import org.objectweb.asm.Type;

/** Encoding of a Java value in 64 bits. Numbers are those of jprobe.v1.ValueType. */
public enum ValueType {
  BOOLEAN(ValueTypeLayout.BOOLEAN, ArgumentSize.UINT8),
  BYTE(ValueTypeLayout.BYTE, ArgumentSize.INT8),
  SHORT(ValueTypeLayout.SHORT, ArgumentSize.INT16),
  INT(ValueTypeLayout.INT, ArgumentSize.INT32),
  LONG(ValueTypeLayout.LONG, ArgumentSize.INT64),
  CHAR(ValueTypeLayout.CHAR, ArgumentSize.UINT16),
  FLOAT(ValueTypeLayout.FLOAT, ArgumentSize.UINT32),
  DOUBLE(ValueTypeLayout.DOUBLE, ArgumentSize.UINT64),
  STRING(ValueTypeLayout.STRING, ArgumentSize.UINT64),
  /** Passed as the text of the object, like a string: see java.jprobe.Rendering. */
  REFERENCE(ValueTypeLayout.STRING, ArgumentSize.UINT64),
  /** The ID of a stack: see java.jprobe.Stacks. */
  STACK(ValueTypeLayout.STACK, ArgumentSize.UINT64),
  ABSENCE(ValueTypeLayout.ABSENCE, ArgumentSize.UINT32);

  public final int number;
  public final ArgumentSize argumentSize;

  ValueType(int number, ArgumentSize argumentSize) {
    this.number = number;
    this.argumentSize = argumentSize;
  }

  /** Returns true for values whose word is the address of a text. */
  public boolean isText() {
    return this == STRING || this == REFERENCE;
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
