// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** The parts of a selector that a method can fail to match. */
public enum MethodPart {
  NAME,
  MODIFIERS,
  ANNOTATION,
  ARGUMENTS,
  RETURN_TYPE
}
