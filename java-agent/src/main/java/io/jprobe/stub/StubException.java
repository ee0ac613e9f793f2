// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/** A stub library or its directory could not be made; the message says what was tried and why. */
public final class StubException extends Exception {
  private static final long serialVersionUID = 1L;

  public StubException(String message) {
    super(message);
  }
}
