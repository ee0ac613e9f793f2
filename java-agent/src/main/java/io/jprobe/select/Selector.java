// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.MethodFacts;
import java.util.List;
import java.util.Set;

/**
 * One selector: which methods, what is captured of their calls, and which of these fire. As in
 * {@code com.acme.**Service#place(long,..)(city=arg1.city) when duration > 5ms}.
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

  /**
   * @param annotated the annotation that either class or method must have; null for any
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
  }

  /** Reads a selector; surrounding blanks do not count. */
  public static Selector parse(String written) throws SelectorException {
    return parse(written, "");
  }

  /**
   * @param origin where it was written, as errors begin; may be empty
   */
  static Selector parse(String written, String origin) throws SelectorException {
    return new SelectorParser(new Cursor(Cursor.trim(written), origin + "selector ")).parse();
  }

  /** Whether what it matches is not traced, whatever other selectors say. */
  public boolean excludes() {
    return excludes;
  }

  /** Whether it asks what a class extends and implements. */
  public boolean needsSupertypes() {
    return classes.needsSupertypes();
  }

  /**
   * Whether the class may have selected methods, by its binary name alone; true where only the
   * class file can tell.
   */
  public boolean mayMatch(String className) {
    return classes.mayMatch(className);
  }

  /** Whether a class is meant of which nobody has the class file, whatever its methods. */
  boolean matchesHidden(String className, Set<String> supertypes) {
    return annotated == null && classes.matches(className, supertypes);
  }

  /**
   * Whether the package of the class, a binary name, is written out in the selector, without stars.
   * False for a class in no package.
   */
  public boolean namesPackageOf(String className) {
    return classes.namesPackageOf(className);
  }

  /**
   * Whether the method is meant. In the JDK's classes only where the selector names the package,
   * unless it excludes.
   */
  public boolean matches(SelectableClass candidate, MethodFacts method) {
    return (!candidate.inJdk() || excludes || namesPackageOf(candidate.name()))
        && methods.matches(method)
        && (annotated == null
            || annotated.matchesAny(method.annotations)
            || annotated.matchesAny(candidate.file().annotations))
        && classes.matches(candidate);
  }

  /** What is captured instead of the arguments and the returned value; empty if not said. */
  public List<Capture> captures() {
    return captures;
  }

  /** Null for none. */
  public Condition condition() {
    return clauses.condition;
  }

  /** Each how-many-th call fires; 1 for all. */
  public long every() {
    return Math.max(clauses.every, 1);
  }

  /** How many calls fire in a second at most; 0 for no limit. */
  public long perSecond() {
    return clauses.perSecond;
  }

  /** The clauses as written, but for blanks: "when duration > 5ms every 100". Empty for none. */
  public String conditionText() {
    return clauses.text;
  }

  /**
   * What is captured and which calls fire, as a text: methods with the same one have the same
   * probes.
   */
  public String wishes() {
    StringBuilder wishes = new StringBuilder();
    for (Capture capture : captures) {
      wishes.append(capture.name).append('=').append(capture.path).append(", ");
    }
    return wishes.append(clauses.text).toString();
  }

  /** An error that points into this selector. @param column counted from 0 */
  public SelectorException error(int column, String problem) {
    return new SelectorException(what, text, column, problem);
  }

  /** As written, without surrounding blanks. */
  @Override
  public String toString() {
    return text;
  }
}
