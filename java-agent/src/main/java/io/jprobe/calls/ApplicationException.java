// SPDX-License-Identifier: Apache-2.0
package io.jprobe.calls;

/** Thrown if application code throws or does not return in time. */
public final class ApplicationException extends Exception {
  private static final long serialVersionUID = 1;

  /** True if the call has not returned, so that a retry may succeed. */
  public final boolean isUnanswered;

  private ApplicationException(String message, Throwable cause, boolean isUnanswered) {
    super(message, cause, false, false);
    this.isUnanswered = isUnanswered;
  }

  static ApplicationException unanswered(String message) {
    return new ApplicationException(message, null, true);
  }

  /**
   * @param description created where application code may run, including that of its exceptions
   */
  static ApplicationException thrown(String description, Throwable cause) {
    return new ApplicationException(description, cause, false);
  }

  /**
   * Describes an exception of the application in one line, by type and message, both of which may
   * run application code. For threads that may wait for it.
   */
  public static String describe(Throwable thrown) {
    try {
      return String.valueOf(thrown).replace('\n', ' ');
    } catch (Throwable e) {
      return thrown.getClass().getName();
    }
  }
}
