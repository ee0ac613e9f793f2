// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.Selector;
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

  /** Text of the selector that decides for it; empty for a class that cannot be read. */
  final String selector;

  Untraceable(
      String className,
      int loaderId,
      String method,
      String descriptor,
      String reason,
      String selector) {
    this.className = className;
    this.loaderId = loaderId;
    this.method = method;
    this.descriptor = descriptor;
    this.reason = reason;
    this.selector = selector;
  }

  /** Returns a finding about a method whose class was only looked at. */
  public static Untraceable of(
      String className, MethodFacts method, String reason, Selector selector) {
    return new Untraceable(
        className, 0, method.name, method.descriptor, reason, selector.toString());
  }

  /** Returns the method, or the class, as a selector names it. */
  public String name() {
    return method.isEmpty() ? className : className + "#" + Signatures.of(method, descriptor);
  }

  public String reason() {
    return reason;
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
        && reason.equals(one.reason)
        && selector.equals(one.selector);
  }

  @Override
  public int hashCode() {
    return Objects.hash(className, loaderId, method, descriptor, reason, selector);
  }
}
