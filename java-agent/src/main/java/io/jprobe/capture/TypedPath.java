// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.Type;

/** A path of which every step has been found in class files. Compared by identity. */
public final class TypedPath {
  /** Where a path begins. */
  public enum Root {
    ARGUMENT,
    THIS,
    RETURN,
    EXCEPTION,
    /** The class of the exception: what throw probes pass without being asked. */
    EXCEPTION_CLASS,
    THREAD,
    DURATION
  }

  /** One step: how to come from a reference to the next value. */
  public static final class Step {
    /** What it takes. */
    public enum Kind {
      /** A field that the traced class may name. */
      FIELD,
      /** A field that is private to another class: read by its offset. */
      HIDDEN_FIELD,
      /** A method without arguments that the traced class may call. */
      METHOD,
      /** The length of an array. */
      LENGTH,
      /** What this JDK has no method for, and is false. */
      FALSE
    }

    public final Kind kind;

    /** Internal name of the class that a field is declared in, or that a method is called on. */
    public final String owner;

    public final String name;
    public final Type type;

    /** Whether the owner is an interface. */
    public final boolean isInterface;

    Step(Kind kind, String owner, String name, Type type, boolean isInterface) {
      this.kind = kind;
      this.owner = owner;
      this.name = name;
      this.type = type;
      this.isInterface = isInterface;
    }
  }

  public final Root root;

  /** Index of the argument, for {@link Root#ARGUMENT}. */
  public final int argument;

  public final Type rootType;
  public final List<Step> steps;

  /** Of the value at the end. */
  public final Type type;

  public final ValueType valueType;

  /** Whether the value is there only when the call ends. */
  public final boolean isLate;

  private final String text;

  TypedPath(Root root, int argument, Type rootType, List<Step> steps, boolean isLate, String text) {
    this.root = root;
    this.argument = argument;
    this.rootType = rootType;
    this.steps = List.copyOf(steps);
    this.type = steps.isEmpty() ? rootType : steps.get(steps.size() - 1).type;
    this.valueType = ValueType.of(type);
    this.isLate = isLate;
    this.text = text;
  }

  /** The same, and further. */
  TypedPath then(List<Step> more) {
    List<Step> all = new ArrayList<>(steps);
    all.addAll(more);
    return new TypedPath(root, argument, rootType, all, isLate, text);
  }

  /** Whether there can be no value, because something on the way is null or throws. */
  public boolean canBeAbsent() {
    return !steps.isEmpty();
  }

  /** Whether following it calls methods, which may be the program's own. */
  public boolean calls() {
    return steps.stream().anyMatch(step -> step.kind == Step.Kind.METHOD);
  }

  /** As a selector writes it. */
  @Override
  public String toString() {
    return text;
  }
}
