// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** A selector that cannot be read; the message quotes it and points at the column. */
public final class SelectorException extends Exception {
  private static final long serialVersionUID = 1L;

  SelectorException(String selector, int column, String problem) {
    super("selector '" + selector + "', column " + (column + 1) + ": " + problem);
  }
}
