// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.function.ToIntFunction;

/**
 * A list of selectors, each of which belongs to an owner: a client that leases it, or everyone. An
 * owner selects a method if any of its selectors matches it and none of its exclusions does. The
 * owner's first matching selector determines the captures and clauses. What one owner selects does
 * not depend on other owners.
 */
public final class Selectors {
  /** The owner of the selectors that no client leases. */
  public static final int UNLEASED = 1;

  public static final Selectors NONE = new Selectors(List.of());

  private final List<Selector> selectors;

  /** The same selectors by the numbers of their owners, which tell how old they are. */
  private final Map<Integer, List<Selector>> byOwner = new TreeMap<>();

  private Selectors(List<Selector> selectors) {
    this(selectors, one -> UNLEASED);
  }

  private Selectors(List<Selector> selectors, ToIntFunction<Selector> owner) {
    this.selectors = List.copyOf(selectors);
    for (Selector one : selectors) {
      byOwner.computeIfAbsent(owner.applyAsInt(one), key -> new ArrayList<>()).add(one);
    }
  }

  /**
   * Selectors in order of precedence.
   *
   * @param owner returns the number of a selector's owner; that of an older owner is lower
   */
  public static Selectors of(List<Selector> selectors, ToIntFunction<Selector> owner) {
    return new Selectors(selectors, owner);
  }

  /** Parses selectors separated by ";". Ignores a separator at the end. */
  public static Selectors parse(String written) throws SelectorException {
    List<Selector> selectors = new ArrayList<>();
    addAll(written, "", selectors);
    if (selectors.isEmpty()) {
      selectors.add(Selector.parse(""));
    }
    return new Selectors(selectors);
  }

  /**
   * Parses a file of selectors, one per line or separated by ";". A "#" at the start of a line or
   * after a blank begins a comment.
   *
   * @param source name of the file for errors
   */
  public static Selectors parseLines(List<String> lines, String source) throws SelectorException {
    List<Selector> selectors = new ArrayList<>();
    for (int i = 0; i < lines.size(); i++) {
      String origin = "config " + source + ", line " + (i + 1) + ": ";
      String line = lines.get(i);
      String text = withoutComment(line);
      checkHash(Cursor.trim(text), text.length() < line.length(), origin);
      addAll(text, origin, selectors);
    }
    return new Selectors(selectors);
  }

  /** Checks that a comment did not begin at the "#" between a class and its method. */
  private static void checkHash(String text, boolean isCut, String origin)
      throws SelectorException {
    boolean isClass = !text.isEmpty() && text.indexOf(';') < 0 && text.indexOf('@') < 0;
    if (isCut && isClass && text.indexOf('#') < 0 && !text.contains("::")) {
      throw new SelectorException(
          origin + "selector ",
          text,
          text.length(),
          "expected '#' and a method; a '#' after a blank begins a comment, so write no blank"
              + " before it");
    }
  }

  private static void addAll(String written, String origin, List<Selector> selectors)
      throws SelectorException {
    Quotes quotes = new Quotes();
    int start = 0;
    for (int i = 0; i <= written.length(); i++) {
      boolean ends = i == written.length();
      if (ends || (!quotes.enclose(written.charAt(i)) && written.charAt(i) == ';')) {
        String one = Cursor.trim(written.substring(start, i));
        if (!one.isEmpty()) {
          selectors.add(Selector.parse(one, origin));
        }
        start = i + 1;
      }
    }
  }

  private static String withoutComment(String line) {
    Quotes quotes = new Quotes();
    for (int i = 0; i < line.length(); i++) {
      boolean quoted = quotes.enclose(line.charAt(i));
      if (!quoted && line.charAt(i) == '#' && (i == 0 || line.charAt(i - 1) <= ' ')) {
        return line.substring(0, i);
      }
    }
    return line;
  }

  /** Returns these selectors followed by the others. */
  public Selectors and(Selectors more) {
    List<Selector> all = new ArrayList<>(selectors);
    all.addAll(more.selectors);
    return new Selectors(all);
  }

  /** Returns true if the class with this binary name may have selected methods. */
  public boolean mayMatch(String className, boolean inJdk) {
    return mayMatch(className, inJdk, null);
  }

  /**
   * Returns true if the class may have selected methods.
   *
   * @param supertypes returns the binary names of its supertypes, without the class itself; null if
   *     they are not known, so that any class may match a selector that depends on them
   */
  public boolean mayMatch(String className, boolean inJdk, Supplier<Set<String>> supertypes) {
    // Runs while the JVM loads the class: a lambda here would load classes in the middle of that.
    for (Selector selector : selectors) {
      if (!selector.excludes()
          && (supertypes == null
              ? selector.mayMatch(className)
              : selector.mayMatch(className, supertypes))
          && (!inJdk || selector.namesPackageOf(className))) {
        return true;
      }
    }
    return false;
  }

  /**
   * Returns the first selector that matches the class, which has no class file; null if none does.
   *
   * @param supertypes binary names of all classes and interfaces that it extends and implements
   */
  public Selector matchingHidden(String className, boolean inJdk, Set<String> supertypes) {
    for (Selector selector : selectors) {
      if (!selector.excludes()
          && selector.matchesHidden(className, supertypes)
          && (!inJdk || selector.namesPackageOf(className))) {
        return selector;
      }
    }
    return null;
  }

  /** Returns true if a selector that may match the class depends on its annotations. */
  public boolean needAnnotations(String className) {
    for (Selector selector : selectors) {
      if (selector.needsAnnotations() && selector.mayMatch(className)) {
        return true;
      }
    }
    return false;
  }

  /** Returns true if any selector depends on the supertypes of a class. */
  public boolean needSupertypes() {
    for (Selector selector : selectors) {
      if (selector.needsSupertypes()) {
        return true;
      }
    }
    return false;
  }

  /** Returns the matches of the owners that select the method, oldest owner first. */
  public List<Match> matching(SelectableClass candidate, MethodFacts method) {
    List<Match> matches = new ArrayList<>();
    for (Map.Entry<Integer, List<Selector>> each : byOwner.entrySet()) {
      List<Selector> matching = matching(each.getValue(), candidate, method);
      if (!matching.isEmpty()) {
        matches.add(new Match(each.getKey(), matching));
      }
    }
    return matches;
  }

  private static List<Selector> matching(
      List<Selector> selectors, SelectableClass candidate, MethodFacts method) {
    List<Selector> matching = new ArrayList<>();
    for (Selector selector : selectors) {
      if (selector.matches(candidate, method)) {
        if (selector.excludes()) {
          return List.of();
        }
        matching.add(selector);
      }
    }
    return matching;
  }

  /** Returns all selectors in order, including exclusions. */
  public List<Selector> each() {
    return selectors;
  }
}
