// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.lang.instrument.UnmodifiableClassException;

/**
 * The errors of JVMTI's RetransformClasses, and the exceptions of java.lang.instrument for them.
 */
final class JvmtiError {
  static final int NONE = 0;

  private static final int INVALID_CLASS = 21;
  private static final int INVALID_CLASS_FORMAT = 60;
  private static final int CIRCULAR_CLASS_DEFINITION = 61;
  private static final int FAILS_VERIFICATION = 62;

  /** The first of the errors about changes that a retransformation must not make. */
  private static final int METHOD_ADDED = 63;

  private static final int UNSUPPORTED_VERSION = 68;
  private static final int NAMES_DONT_MATCH = 69;

  /** The last of these errors. */
  private static final int CLASS_ATTRIBUTE_CHANGED = 72;

  private static final int UNMODIFIABLE_CLASS = 79;
  private static final int OUT_OF_MEMORY = 110;

  private JvmtiError() {}

  /**
   * Returns the checked exception for an error.
   *
   * @throws Error or RuntimeException if it is another one
   */
  static UnmodifiableClassException thrown(int error) {
    switch (error) {
      case UNMODIFIABLE_CLASS:
        return new UnmodifiableClassException();
      case OUT_OF_MEMORY:
        throw new OutOfMemoryError("the JVM has no memory to retransform a class");
      case INVALID_CLASS_FORMAT:
        throw new ClassFormatError();
      case CIRCULAR_CLASS_DEFINITION:
        throw new ClassCircularityError();
      case FAILS_VERIFICATION:
        throw new VerifyError();
      case UNSUPPORTED_VERSION:
        throw new UnsupportedClassVersionError();
      case NAMES_DONT_MATCH:
        throw new NoClassDefFoundError("class names don't match");
      case INVALID_CLASS:
        throw new InternalError("class redefinition failed: invalid class");
      default:
        String message = "class redefinition failed: JVMTI error " + error;
        if (error >= METHOD_ADDED && error <= CLASS_ATTRIBUTE_CHANGED) {
          throw new UnsupportedOperationException(message);
        }
        throw new InternalError(message);
    }
  }
}
