// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** One selector, {@code class-glob#method-glob}, as in {@code com.acme.**Service#place*}. */
public final class Selector {
  private final String text;
  private final Glob classes;
  private final Glob methods;

  private Selector(String text, Glob classes, Glob methods) {
    this.text = text;
    this.classes = classes;
    this.methods = methods;
  }

  /** Reads a selector; surrounding blanks do not count. */
  public static Selector parse(String written) throws SelectorException {
    String text = written.trim();
    int hash = text.indexOf('#');
    if (text.isEmpty()) {
      throw new SelectorException(text, 0, "expected a class, as in com.acme.*#*");
    }
    if (hash < 0) {
      throw new SelectorException(
          text, text.length(), "expected '#' and a method, as in " + text + "#*");
    }
    if (hash == 0) {
      throw new SelectorException(text, 0, "expected a class before '#', as in com.acme.*#*");
    }
    if (hash == text.length() - 1) {
      throw new SelectorException(
          text, hash + 1, "expected a method after '#'; * stands for every one");
    }
    checkClass(text, hash);
    checkMethod(text, hash + 1);
    return new Selector(text, new Glob(text.substring(0, hash)), new Glob(text.substring(hash + 1)));
  }

  private static void checkClass(String text, int end) throws SelectorException {
    boolean nameStarts = true;
    for (int i = 0; i < end; i++) {
      char c = text.charAt(i);
      if (c == '.') {
        if (nameStarts || i + 1 == end) {
          throw new SelectorException(text, i, "a name is missing beside '.'");
        }
      } else if (c == '/') {
        throw new SelectorException(text, i, "packages are separated by '.', not '/'");
      } else if (c != '*' && !Character.isJavaIdentifierPart(c)) {
        throw new SelectorException(text, i, "'" + c + "' cannot be in a class's name");
      }
      nameStarts = c == '.';
    }
    if (text.substring(0, end).contains("***")) {
      throw new SelectorException(text, text.indexOf("***"), "a star more than ** means");
    }
  }

  private static void checkMethod(String text, int start) throws SelectorException {
    boolean special =
        text.startsWith("<init>", start) || text.startsWith("<clinit>", start);
    for (int i = start; i < text.length(); i++) {
      char c = text.charAt(i);
      boolean bracket = special && (c == '<' || c == '>');
      if (c != '*' && !bracket && !Character.isJavaIdentifierPart(c)) {
        throw new SelectorException(text, i, "'" + c + "' cannot be in a method's name");
      }
    }
  }

  /** Whether the class may have selected methods; its binary name with dots. */
  public boolean matchesClass(String className) {
    return classes.matches(className);
  }

  public boolean matches(String className, String method) {
    return classes.matches(className) && methods.matches(method);
  }

  @Override
  public String toString() {
    return text;
  }
}
