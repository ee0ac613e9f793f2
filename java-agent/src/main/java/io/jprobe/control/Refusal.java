// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

/** A command that the gateway does not serve; the message is the client's answer. */
final class Refusal extends Exception {
  private static final long serialVersionUID = 1L;

  Refusal(String message) {
    super(message);
  }
}
