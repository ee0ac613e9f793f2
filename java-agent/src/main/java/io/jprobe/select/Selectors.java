// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * What was selected: a method is, if any of the selectors matches it and none that excludes does.
 * The first that matches decides what is captured of its calls, and which of them fire.
 */
public final class Selectors {
  public static final Selectors NONE = new Selectors(List.of());

  private final List<Selector> selectors;

  private Selectors(List<Selector> selectors) {
    this.selectors = List.copyOf(selectors);
  }

  /** Those selectors, the first of which decides first. */
  public static Selectors of(List<Selector> selectors) {
    return new Selectors(selectors);
  }

  /** Reads selectors separated by ";". A separator at the end is no selector. */
  public static Selectors parse(String written) throws SelectorException {
    List<Selector> selectors = new ArrayList<>();
    addAll(written, "", selectors);
    if (selectors.isEmpty()) {
      selectors.add(Selector.parse(""));
    }
    return new Selectors(selectors);
  }

  /**
   * Reads a file of selectors, one a line, or several separated by ";". A "#" that begins a line or
   * follows a blank begins a comment.
   *
   * @param source the file's name, for errors
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

  /** These, and then those. */
  public Selectors and(Selectors more) {
    List<Selector> all = new ArrayList<>(selectors);
    all.addAll(more.selectors);
    return new Selectors(all);
  }

  /** Whether the class may have selected methods, by its binary name alone. */
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
   * Whether a selector means the class, of which nobody has the class file.
   *
   * @param supertypes binary names of all that it extends and implements
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

  /** Whether any selector asks what a class extends and implements. */
  public boolean needSupertypes() {
    for (Selector selector : selectors) {
      if (selector.needsSupertypes()) {
        return true;
      }
    }
    return false;
  }

  /**
   * The selectors that mean the method, in the order in which they were written, without those that
   * exclude; none, if it is not selected. The first decides what is captured and which calls fire.
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

  /** All selectors one by one, those that exclude too, in the order in which they were written. */
  public List<Selector> each() {
    return selectors;
  }
}
