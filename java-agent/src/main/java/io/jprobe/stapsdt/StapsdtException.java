// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

/**
 * A provider could not be created or loaded. The message names the operations that failed and the
 * reasons.
 */
public final class StapsdtException extends Exception {
  private static final long serialVersionUID = 1L;

  public StapsdtException(String message) {
    super(message);
  }
}
