// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.Selector;
import java.util.Objects;

/** A selected method, or all methods of a selected class, without probes, and the reason. */
public final class Untraceable {
  private static final String RETRY = "; will retry";

  final String className;
  final int loaderId;

  /** The method's name; empty for a class, as is the descriptor. */
  final String method;

  final String descriptor;

  /** A clause, as in "it is abstract". */
  final String reason;

  /** True if the class is read again, because a class file was missing; the reason says so. */
  final boolean isRetried;

  /** Text of the selector that decides for it; empty for a class that cannot be read. */
  final String selector;

  Untraceable(
      String className,
      int loaderId,
      String method,
      String descriptor,
      String reason,
      String selector) {
    this(className, loaderId, method, descriptor, reason, selector, false);
  }

  private Untraceable(
      String className,
      int loaderId,
      String method,
      String descriptor,
      String reason,
      String selector,
      boolean isRetried) {
    this.className = className;
    this.loaderId = loaderId;
    this.method = method;
    this.descriptor = descriptor;
    this.reason = reason;
    this.selector = selector;
    this.isRetried = isRetried;
  }

  /** Returns this finding as one that may change, because the class is read again. */
  Untraceable retried() {
    return new Untraceable(className, loaderId, method, descriptor, reason + RETRY, selector, true);
  }

  /** Returns the reason if the class is not read again. */
  String finalReason() {
    return isRetried ? reason.substring(0, reason.length() - RETRY.length()) : reason;
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

  /** Compares the reasons only of final findings: those of retries may differ each time. */
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
        && isRetried == one.isRetried
        && (isRetried || reason.equals(one.reason))
        && selector.equals(one.selector);
  }

  @Override
  public int hashCode() {
    return Objects.hash(className, loaderId, method, descriptor, selector);
  }
}
