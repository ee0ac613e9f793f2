// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import org.objectweb.asm.Type;

/** A value that a probe passes. */
public final class CapturedValue {
  /** The last value of a probe, which marks the absent values. */
  static final CapturedValue ABSENCE =
      new CapturedValue("absent", Type.INT_TYPE, ValueType.ABSENCE, null, false);

  /** Stands for the type of a stack, which is no type of Java. */
  private static final Type STACK = Type.getObjectType("stack");

  public final String name;

  /** Declared type. */
  public final Type javaType;

  public final ValueType type;

  /** Path to the value; null for {@link #ABSENCE}. */
  public final TypedPath path;

  /** True if a selector captures the value by a path. */
  public final boolean isAskedFor;

  private CapturedValue(
      String name, Type javaType, ValueType type, TypedPath path, boolean isAskedFor) {
    this.name = name;
    this.javaType = javaType;
    this.type = type;
    this.path = path;
    this.isAskedFor = isAskedFor;
  }

  /** Returns a value that is captured by default. */
  static CapturedValue usual(String name, TypedPath path) {
    return new CapturedValue(name, path.type, path.valueType, path, false);
  }

  static CapturedValue askedFor(String name, TypedPath path) {
    Type type = path.valueType == ValueType.STACK ? STACK : path.type;
    return new CapturedValue(name, type, path.valueType, path, true);
  }
}
