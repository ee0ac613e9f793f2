// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;

/**
 * A path to a value of a call, as written: {@code arg0.customer().city}. Its types are determined
 * elsewhere, for each method that the selector matches.
 */
public final class Path extends Operand {
  /** One step of a path. */
  public static final class Step {
    /** Kind of a step. */
    public enum Kind {
      /** {@code .name}: a field, a getter, or a part of the name of a class. */
      PROPERTY,
      /** {@code .name()}. */
      CALL,
      /** {@code [0]}: the key is a Long. */
      INDEX,
      /** {@code .get("id")}: the key is a String or a Long. */
      GET,
      /** {@code ((name) …)}: the name of a class. */
      CAST,
      /** {@code (16)} after {@code stack}: the key is a Long. */
      DEPTH
    }

    public final Kind kind;
    public final String name;

    /** The key of an element; null for other kinds. */
    public final Object key;

    /** Column of the name, counted from 0. */
    public final int column;

    Step(Kind kind, String name, Object key, int column) {
      this.kind = kind;
      this.name = name;
      this.key = key;
      this.column = column;
    }

    public boolean isCall() {
      return kind == Kind.CALL;
    }

    /** Returns the spelling of a path and this step after it. */
    private String after(String path) {
      switch (kind) {
        case CALL:
          return path + "." + name + "()";
        case INDEX:
          return path + "[" + key + "]";
        case GET:
          return path + ".get(" + (key instanceof String ? quoted((String) key) : key) + ")";
        case DEPTH:
          return path + "(" + key + ")";
        case CAST:
          return "((" + name + ") " + path + ")";
        default:
          return path + "." + name;
      }
    }

    private static String quoted(String text) {
      return '"'
          + text.replace("\\", "\\\\")
              .replace("\"", "\\\"")
              .replace("\n", "\\n")
              .replace("\t", "\\t")
          + '"';
    }
  }

  /** The root of the stack of the thread. */
  public static final String STACK = "stack";

  /**
   * "this", "return", "exception", "thread", "duration", "stack", "argN", the name of an argument,
   * or the first part of the name of a class.
   */
  public final String root;

  public final List<Step> steps;

  Path(String root, int column, List<Step> steps) {
    super(column);
    this.root = root;
    this.steps = List.copyOf(steps);
  }

  /** Returns the canonical spelling: {@code arg0.customer().city}. */
  @Override
  public String toString() {
    String text = root;
    for (Step step : steps) {
      text = step.after(text);
    }
    return text;
  }
}
