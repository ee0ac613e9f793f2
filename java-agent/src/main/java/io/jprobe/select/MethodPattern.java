// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.MethodFacts;

/** Matches methods by modifiers, annotation, name and types. */
final class MethodPattern {
  private final int modifiers;
  private final Glob annotation;
  private final Glob name;
  private final TypeListPattern arguments;
  private final TypePattern returned;

  /**
   * A null parameter matches everything.
   *
   * @param modifiers ACC_ flags that a method must have (JVMS 4.6)
   */
  MethodPattern(
      int modifiers, Glob annotation, Glob name, TypeListPattern arguments, TypePattern returned) {
    this.modifiers = modifiers;
    this.annotation = annotation;
    this.name = name;
    this.arguments = arguments;
    this.returned = returned;
  }

  boolean needsAnnotations() {
    return annotation != null;
  }

  boolean matches(MethodFacts method) {
    return mismatch(method) == null;
  }

  /** Returns the part that does not match, the most telling one first; null if all match. */
  MethodPart mismatch(MethodFacts method) {
    if (name != null && !name.matches(method.name)) {
      return MethodPart.NAME;
    }
    if ((method.access & modifiers) != modifiers) {
      return MethodPart.MODIFIERS;
    }
    if (annotation != null && !annotation.matchesAny(method.annotations)) {
      return MethodPart.ANNOTATION;
    }
    if (arguments != null && !arguments.matches(method.argumentTypes())) {
      return MethodPart.ARGUMENTS;
    }
    boolean isReturned = returned == null || returned.matches(method.returnType());
    return isReturned ? null : MethodPart.RETURN_TYPE;
  }

  /** Returns the first of the types if they look like names of arguments; otherwise empty. */
  String firstOfNames() {
    return arguments == null ? "" : arguments.firstOfNames();
  }

  /** Returns the annotation as written; empty if none is needed. */
  String annotation() {
    return annotation == null ? "" : annotation.toString();
  }

  /** Returns the name as written; empty if any name matches. */
  String name() {
    return name == null ? "" : name.toString();
  }
}
