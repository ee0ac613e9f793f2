// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

/** Thrown for invalid agent options; the message names the option and what is expected. */
final class OptionsException extends Exception {
  private static final long serialVersionUID = 1L;

  OptionsException(String message) {
    super(message);
  }
}
