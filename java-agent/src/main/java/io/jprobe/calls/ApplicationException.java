// SPDX-License-Identifier: Apache-2.0
package io.jprobe.calls;

/** A call of the application's code has thrown, or has not returned in time. */
public final class ApplicationException extends Exception {
  private static final long serialVersionUID = 1;

  /** Whether the call has not returned, so that it may be worth another try. */
  public final boolean isUnanswered;

  private ApplicationException(String message, Throwable cause, boolean isUnanswered) {
    super(message, cause, false, false);
    this.isUnanswered = isUnanswered;
  }

  static ApplicationException unanswered(String message) {
    return new ApplicationException(message, null, true);
  }

  /**
   * @param description made where the application's code may run: that of its exceptions, too
   */
  static ApplicationException thrown(String description, Throwable cause) {
    return new ApplicationException(description, cause, false);
  }

  /**
   * Describes what the application has thrown in one line: the type and the message, both of which
   * may be its own code. For threads that may wait for it.
   */
  public static String describe(Throwable thrown) {
    try {
      return String.valueOf(thrown).replace('\n', ' ');
    } catch (Throwable e) {
      return thrown.getClass().getName();
    }
  }
}
