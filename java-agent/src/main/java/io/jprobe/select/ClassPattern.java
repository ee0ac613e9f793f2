// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.Set;
import java.util.function.Supplier;

/** Matches classes by name, by annotation, or by their supertypes. */
final class ClassPattern {
  static final ClassPattern ANY = new ClassPattern(null, false, null);

  private final Glob annotation;
  private final boolean withSubtypes;
  private final Glob name;

  /** A null glob matches everything. */
  ClassPattern(Glob annotation, boolean withSubtypes, Glob name) {
    this.annotation = annotation;
    this.withSubtypes = withSubtypes;
    this.name = name;
  }

  boolean needsSupertypes() {
    return withSubtypes;
  }

  boolean needsAnnotations() {
    return annotation != null;
  }

  boolean mayMatch(String className) {
    return name == null || withSubtypes || name.matches(className);
  }

  /** As {@link #mayMatch(String)}, but knows the supertypes of the class. */
  boolean mayMatch(String className, Supplier<Set<String>> supertypes) {
    return name == null
        || name.matches(className)
        || (withSubtypes && name.matchesAny(supertypes.get()));
  }

  /** Matches a class without a class file, whose annotations are unknown. */
  boolean matches(String className, Set<String> supertypes) {
    return annotation == null
        && name != null
        && (name.matches(className) || (withSubtypes && name.matchesAny(supertypes)));
  }

  /** Returns true if it can match several classes, or classes that are not named in it. */
  boolean isOpen() {
    return annotation != null || withSubtypes || name == null || name.hasStar();
  }

  /** Returns true if the name alone matches, whatever the annotations. */
  boolean names(String className) {
    return name == null || name.matches(className);
  }

  /** Returns the name as written; empty if any class can match. */
  String name() {
    return name == null ? "" : name.toString();
  }

  /** Returns the annotation as written; empty if none is needed. */
  String annotation() {
    return annotation == null ? "" : annotation.toString();
  }

  boolean hasAnnotation(SelectableClass candidate) {
    return annotation == null || annotation.matchesAny(candidate.file().annotations);
  }

  boolean namesPackageOf(String className) {
    int dot = className.lastIndexOf('.');
    return name != null && dot > 0 && name.startsWith(className, dot + 1);
  }

  boolean matches(SelectableClass candidate) {
    return (annotation == null || annotation.matchesAny(candidate.file().annotations))
        && (name == null
            || name.matches(candidate.name())
            || (withSubtypes && name.matchesAny(candidate.supertypes())));
  }
}
