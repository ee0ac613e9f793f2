// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * A list of selectors. A method is selected if any selector matches it and no exclusion does. The
 * first matching selector determines the captures and clauses.
 */
public final class Selectors {
  public static final Selectors NONE = new Selectors(List.of());

  private final List<Selector> selectors;

  private Selectors(List<Selector> selectors) {
    this.selectors = List.copyOf(selectors);
  }

  /** Selectors in order of precedence. */
  public static Selectors of(List<Selector> selectors) {
    return new Selectors(selectors);
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
      addAll(withoutComment(lines.get(i)), origin, selectors);
    }
    return new Selectors(selectors);
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
    for (Selector selector : selectors) {
      if (!selector.excludes()
          && selector.mayMatch(className)
          && (!inJdk || selector.namesPackageOf(className))) {
        return true;
      }
    }
    return false;
  }

  /**
   * Returns true if a selector matches the class, which has no class file.
   *
   * @param supertypes binary names of all classes and interfaces that it extends and implements
   */
  public boolean matchHidden(String className, boolean inJdk, Set<String> supertypes) {
    for (Selector selector : selectors) {
      if (!selector.excludes()
          && selector.matchesHidden(className, supertypes)
          && (!inJdk || selector.namesPackageOf(className))) {
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

  /**
   * Returns the selectors that match the method, in order, without exclusions; none if it is not
   * selected. The first determines the captures and clauses.
   */
  public List<Selector> matching(SelectableClass candidate, MethodFacts method) {
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
