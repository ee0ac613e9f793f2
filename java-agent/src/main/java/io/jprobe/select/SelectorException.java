// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** A malformed selector. The message quotes it and points to the column. */
public final class SelectorException extends Exception {
  private static final long serialVersionUID = 1L;

  /**
   * @param column counted from 0
   */
  public SelectorException(String selector, int column, String problem) {
    this("selector ", selector, column, problem);
  }

  /**
   * @param what start of the message: kind and origin of the text
   */
  SelectorException(String what, String selector, int column, String problem) {
    super(what + "'" + selector + "', column " + (column + 1) + ": " + problem);
  }
}
