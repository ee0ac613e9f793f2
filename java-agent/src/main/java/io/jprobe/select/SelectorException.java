// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** A selector that cannot be read; the message quotes it and points at the column. */
public final class SelectorException extends Exception {
  private static final long serialVersionUID = 1L;

  /**
   * @param column counted from 0
   */
  public SelectorException(String selector, int column, String problem) {
    this("", selector, column, problem);
  }

  /**
   * @param origin where the selector was written, as the message's beginning; may be empty
   */
  SelectorException(String origin, String selector, int column, String problem) {
    super(origin + "selector '" + selector + "', column " + (column + 1) + ": " + problem);
  }
}
