// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import org.objectweb.asm.Type;

/** An argument or a return value that probes pass; the type is the one that the class declares. */
public final class CapturedValue {
  public final String name;
  public final Type javaType;
  public final ValueType type;

  CapturedValue(String name, Type javaType) {
    this.name = name;
    this.javaType = javaType;
    this.type = valueType(javaType);
  }

  private static ValueType valueType(Type type) {
    switch (type.getSort()) {
      case Type.BOOLEAN:
        return ValueType.BOOLEAN;
      case Type.BYTE:
        return ValueType.BYTE;
      case Type.SHORT:
        return ValueType.SHORT;
      case Type.INT:
        return ValueType.INT;
      case Type.LONG:
        return ValueType.LONG;
      case Type.CHAR:
        return ValueType.CHAR;
      case Type.FLOAT:
        return ValueType.FLOAT;
      case Type.DOUBLE:
        return ValueType.DOUBLE;
      default:
        return type.getDescriptor().equals("Ljava/lang/String;")
            ? ValueType.STRING
            : ValueType.REFERENCE;
    }
  }
}
