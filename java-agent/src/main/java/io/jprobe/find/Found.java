// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import java.util.List;

/** A loaded class, or one of its methods. */
public final class Found {
  public final Class<?> type;
  public final String className;

  /** Empty for a class, as is the descriptor. */
  public final String method;

  public final String descriptor;

  /** Kind of a class, or modifiers of a method. */
  public final String kind;

  /** Why it cannot be traced; empty if it can. */
  public final String reason;

  /** Names of the arguments. */
  public final List<String> arguments;

  Found(
      Class<?> type,
      String method,
      String descriptor,
      String kind,
      String reason,
      List<String> arguments) {
    this.type = type;
    this.className = type.getName();
    this.method = method;
    this.descriptor = descriptor;
    this.kind = kind;
    this.reason = reason;
    this.arguments = List.copyOf(arguments);
  }
}
