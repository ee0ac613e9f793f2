// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.Objects;

/** A selected method, or all methods of a selected class, without probes, and the reason. */
public final class Untraceable {
  final String className;
  final int loaderId;

  /** The method's name; empty for a class, as is the descriptor. */
  final String method;

  final String descriptor;

  /** A clause, as in "it is abstract". */
  final String reason;

  Untraceable(String className, int loaderId, String method, String descriptor, String reason) {
    this.className = className;
    this.loaderId = loaderId;
    this.method = method;
    this.descriptor = descriptor;
    this.reason = reason;
  }

  @Override
  public boolean equals(Object other) {
    if (!(other instanceof Untraceable)) {
      return false;
    }
    Untraceable one = (Untraceable) other;
    return className.equals(one.className)
        && loaderId == one.loaderId
        && method.equals(one.method)
        && descriptor.equals(one.descriptor)
        && reason.equals(one.reason);
  }

  @Override
  public int hashCode() {
    return Objects.hash(className, loaderId, method, descriptor, reason);
  }
}
