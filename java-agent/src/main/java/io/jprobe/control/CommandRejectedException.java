// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

/** Thrown for a command that the gateway does not serve; the message is sent to the client. */
final class CommandRejectedException extends Exception {
  private static final long serialVersionUID = 1L;

  CommandRejectedException(String message) {
    super(message);
  }
}
