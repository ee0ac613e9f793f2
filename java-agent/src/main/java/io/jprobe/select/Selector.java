// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.MethodFacts;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;

/**
 * A selector chooses methods, captures values of their calls and filters calls. Example: {@code
 * com.acme.**Service#place(long,..)(city=arg1.city) when duration > 5ms}.
 */
public final class Selector {
  private final String text;
  private final String what;
  private final boolean excludes;
  private final ClassPattern classes;
  private final Glob annotated;
  private final MethodPattern methods;
  private final List<Capture> captures;
  private final Clauses clauses;
  private final String probeText;

  /**
   * @param annotated annotation that either the class or the method must have; null for any
   */
  Selector(
      Cursor source,
      boolean excludes,
      ClassPattern classes,
      Glob annotated,
      MethodPattern methods,
      List<Capture> captures,
      Clauses clauses) {
    this.text = source.text;
    this.what = source.what;
    this.excludes = excludes;
    this.classes = classes;
    this.annotated = annotated;
    this.methods = methods;
    this.captures = List.copyOf(captures);
    this.clauses = clauses;
    this.probeText = probeText(captures, clauses);
  }

  /** Parses a selector. Ignores surrounding blanks. */
  public static Selector parse(String written) throws SelectorException {
    return parse(written, "");
  }

  /** Parses a selector, or the classes of one, which then stand for all of their methods. */
  public static Selector parseOrClasses(String written) throws SelectorException {
    String text = Cursor.trim(written);
    boolean mayBeClasses = !text.isEmpty() && text.indexOf('#') < 0 && !text.contains("::");
    try {
      return parse(text);
    } catch (SelectorException e) {
      if (mayBeClasses && !text.contains(" when ")) {
        try {
          return parse(text + "#*");
        } catch (SelectorException alsoWrong) {
          throw e;
        }
      }
      throw e;
    }
  }

  /**
   * @param origin source of the text, with which errors begin; may be empty
   */
  static Selector parse(String written, String origin) throws SelectorException {
    return new SelectorParser(new Cursor(Cursor.trim(written), origin + "selector ")).parse();
  }

  /**
   * Returns true if the selector excludes the methods it matches, regardless of other selectors.
   */
  public boolean excludes() {
    return excludes;
  }

  /** Returns true if the selector depends on annotations. */
  boolean needsAnnotations() {
    return annotated != null || classes.needsAnnotations() || methods.needsAnnotations();
  }

  /** Returns true if the selector depends on the supertypes of a class. */
  public boolean needsSupertypes() {
    return classes.needsSupertypes();
  }

  /**
   * Returns true if the class with this binary name may have selected methods, or if only its class
   * file determines that.
   */
  public boolean mayMatch(String className) {
    return classes.mayMatch(className);
  }

  /**
   * As {@link #mayMatch(String)}, for a class whose supertypes are known.
   *
   * @param supertypes returns their binary names, without the class itself
   */
  public boolean mayMatch(String className, Supplier<Set<String>> supertypes) {
    return classes.mayMatch(className, supertypes);
  }

  /** Returns true if the selector matches a class without a class file, whatever its methods. */
  boolean matchesHidden(String className, Set<String> supertypes) {
    return annotated == null && classes.matches(className, supertypes);
  }

  /**
   * Returns true if the selector names the package of the class without stars. The parameter is a
   * binary name. False for a class in no package.
   */
  public boolean namesPackageOf(String className) {
    return classes.namesPackageOf(className);
  }

  /**
   * Returns true if the selector matches the method. In classes of the JDK, selectors other than
   * exclusions must name the package.
   */
  public boolean matches(SelectableClass candidate, MethodFacts method) {
    return (!candidate.inJdk() || excludes || namesPackageOf(candidate.name()))
        && methods.matches(method)
        && (annotated == null
            || annotated.matchesAny(method.annotations)
            || annotated.matchesAny(candidate.file().annotations))
        && classes.matches(candidate);
  }

  /** Returns true if the selector does not name its class without stars and nothing else. */
  public boolean isOpen() {
    return classes.isOpen() || annotated != null;
  }

  /** Returns true if the name of the class matches, whatever its annotations and supertypes. */
  public boolean namesClass(String className) {
    return classes.names(className);
  }

  /** Returns the name of the classes as written; empty if any class can match. */
  public String className() {
    return classes.name();
  }

  /** Returns the name of the methods as written; empty if any method can match. */
  public String methodName() {
    return methods.name();
  }

  /** Returns the first of the argument types if they look like names; otherwise empty. */
  public String firstOfNames() {
    return methods.firstOfNames();
  }

  /** Returns the annotation that a class or method must have, as written; empty if none must. */
  public String annotation() {
    if (annotated != null) {
      return annotated.toString();
    }
    return classes.annotation().isEmpty() ? methods.annotation() : classes.annotation();
  }

  /** Returns true if the class has the annotation that the selector demands of the class alone. */
  public boolean hasAnnotation(SelectableClass candidate) {
    return classes.hasAnnotation(candidate);
  }

  /**
   * Returns the part of the selector that the method does not match, apart from its class; null if
   * it matches.
   */
  public MethodPart mismatch(SelectableClass candidate, MethodFacts method) {
    MethodPart part = methods.mismatch(method);
    boolean isAnnotated =
        annotated == null
            || annotated.matchesAny(method.annotations)
            || annotated.matchesAny(candidate.file().annotations);
    return part == null && !isAnnotated ? MethodPart.ANNOTATION : part;
  }

  /**
   * Returns the captures that replace the arguments and the returned value; empty if none are
   * given.
   */
  public List<Capture> captures() {
    return captures;
  }

  /** Returns the condition; null for none. */
  public Condition condition() {
    return clauses.condition;
  }

  /** Returns the sampling interval in calls; 1 for all calls. */
  public long every() {
    return Math.max(clauses.every, 1);
  }

  /** Returns the maximum number of firings per second; 0 for no limit. */
  public long perSecond() {
    return clauses.perSecond;
  }

  /**
   * Returns the clauses with blanks normalized: "when duration > 5ms every 100". Empty for none.
   */
  public String conditionText() {
    return clauses.text;
  }

  /**
   * Returns the captures and clauses as a text. Methods with the same text have the same probes.
   */
  public String probeText() {
    return probeText;
  }

  private static String probeText(List<Capture> captures, Clauses clauses) {
    StringBuilder text = new StringBuilder();
    for (Capture capture : captures) {
      text.append(capture.name).append('=').append(capture.path).append(", ");
    }
    return text.append(clauses.text).toString();
  }

  /** Returns an error that points into this selector, at a column counted from 0. */
  public SelectorException error(int column, String problem) {
    return new SelectorException(what, text, column, problem);
  }

  /** Returns the selector as written, without surrounding blanks. */
  @Override
  public String toString() {
    return text;
  }
}
