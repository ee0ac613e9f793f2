// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

/** Agent options that cannot be read; the message says which and what would be right. */
final class OptionsException extends Exception {
  private static final long serialVersionUID = 1L;

  OptionsException(String message) {
    super(message);
  }
}
