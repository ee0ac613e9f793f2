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
    return (method.access & modifiers) == modifiers
        && (name == null || name.matches(method.name))
        && (annotation == null || annotation.matchesAny(method.annotations))
        && (arguments == null || arguments.matches(method.argumentTypes()))
        && (returned == null || returned.matches(method.returnType()));
  }
}
