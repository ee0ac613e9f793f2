// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import org.objectweb.asm.Type;

/** A value that a probe passes. */
public final class CapturedValue {
  /** Which of a probe's values are absent; the last of them. */
  static final CapturedValue ABSENCE =
      new CapturedValue("absent", Type.INT_TYPE, ValueType.ABSENCE, null, false);

  public final String name;

  /** The type that the class declares. */
  public final Type javaType;

  public final ValueType type;

  /** Where it comes from; null for {@link #ABSENCE}. */
  public final TypedPath path;

  /** Whether a selector asked for it by a path. */
  public final boolean isAskedFor;

  private CapturedValue(
      String name, Type javaType, ValueType type, TypedPath path, boolean isAskedFor) {
    this.name = name;
    this.javaType = javaType;
    this.type = type;
    this.path = path;
    this.isAskedFor = isAskedFor;
  }

  /** What is captured where a selector asks for nothing. */
  static CapturedValue usual(String name, TypedPath path) {
    return new CapturedValue(name, path.type, path.valueType, path, false);
  }

  static CapturedValue askedFor(String name, TypedPath path) {
    return new CapturedValue(name, path.type, path.valueType, path, true);
  }
}
