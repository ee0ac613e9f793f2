// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.Type;

/** A path whose steps have been found in class files. Compared by identity. */
public final class TypedPath {
  /** Start of a path. */
  public enum Root {
    ARGUMENT,
    THIS,
    RETURN,
    EXCEPTION,
    /** Class of the exception, which throw probes pass by default. */
    EXCEPTION_CLASS,
    THREAD,
    /** The class that declares the static field of the first step. */
    CLASS,
    DURATION,
    /** The stack of the thread, taken when a probe fires; the argument is its number of frames. */
    STACK
  }

  /** One step from a reference to the next value. */
  public static final class Step {
    /** Kind of access. */
    public enum Kind {
      /** A field that the traced class may name. */
      FIELD,
      /** A field that is private to another class, read by its offset. */
      HIDDEN_FIELD,
      /** A method without arguments that the traced class may call. */
      METHOD,
      /** Length of an array. */
      LENGTH,
      /** A method that this JDK lacks; the value is false. */
      FALSE,
      /** A static field, read by its offset, which does not initialize the class. */
      STATIC_FIELD,
      /** Element of an array; the key is its index. */
      ELEMENT,
      /** Element of a list; the key is its index. */
      ITEM,
      /** Value of a map, or element of a list; the key is a String or a Long. */
      GET,
      /** Cast to the owner; absent for an object of another class. */
      CAST,
      /** The characters of a String or the name of an enum's constant; absent for others. */
      TEXT,
      /** The value of an Integer or another whole number; absent for other objects. */
      NUMBER,
      /** The value of any number; absent for other objects. */
      DECIMAL,
      /** The value of a Boolean; absent for other objects. */
      TRUTH
    }

    public final Kind kind;

    /** Internal name of the class that declares a field or on which a method is called. */
    public final String owner;

    public final String name;
    public final Type type;

    /** True if the owner is an interface. */
    public final boolean isInterface;

    /** Key of an element; null for other kinds. */
    public final Object key;

    Step(Kind kind, String owner, String name, Type type, boolean isInterface) {
      this(kind, owner, name, type, isInterface, null);
    }

    private Step(Kind kind, String owner, String name, Type type, boolean isInterface, Object key) {
      this.kind = kind;
      this.key = key;
      this.owner = owner;
      this.name = name;
      this.type = type;
      this.isInterface = isInterface;
    }

    static Step element(Kind kind, String name, Type type, Object key) {
      return new Step(kind, null, name, type, false, key);
    }
  }

  public final Root root;

  /**
   * Index of the argument, for {@link Root#ARGUMENT}; number of frames that count, 0 for all, for
   * {@link Root#STACK}.
   */
  public final int argument;

  public final Type rootType;
  public final List<Step> steps;

  /** Type of the value at the end. */
  public final Type type;

  public final ValueType valueType;

  /** True if the value exists only when the call ends. */
  public final boolean isLate;

  private final String text;

  TypedPath(Root root, int argument, Type rootType, List<Step> steps, boolean isLate, String text) {
    this.root = root;
    this.argument = argument;
    this.rootType = rootType;
    this.steps = List.copyOf(steps);
    this.type = steps.isEmpty() ? rootType : steps.get(steps.size() - 1).type;
    this.valueType = root == Root.STACK ? ValueType.STACK : ValueType.of(type);
    this.isLate = isLate;
    this.text = text;
  }

  /** Returns this path extended by a step. */
  TypedPath then(List<Step> more) {
    List<Step> all = new ArrayList<>(steps);
    all.addAll(more);
    return new TypedPath(root, argument, rootType, all, isLate, text);
  }

  /** Returns true if the value can be absent because a step in the path is null or throws. */
  public boolean canBeAbsent() {
    return !steps.isEmpty();
  }

  /** Returns true if the evaluation calls methods, which may be the application's. */
  public boolean calls() {
    return steps.stream().anyMatch(step -> step.kind == Step.Kind.METHOD);
  }

  /** Returns the path in selector syntax. */
  @Override
  public String toString() {
    return text;
  }
}
