// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * Thrown if a stub library or its directory cannot be created, or if another operation of the agent
 * fails. The message names the operation and the reason.
 */
public final class StubException extends Exception {
  private static final long serialVersionUID = 1L;

  public StubException(String message) {
    super(message);
  }
}
