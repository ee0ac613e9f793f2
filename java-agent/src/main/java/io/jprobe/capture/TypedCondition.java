// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.select.Condition.Junction;
import io.jprobe.select.Condition.Relation;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** A condition with valid comparisons. */
public abstract class TypedCondition {
  private TypedCondition() {}

  /** Passes each path of the condition to the action, in order, possibly more than once. */
  abstract void eachPath(Consumer<TypedPath> visitor);

  /** Returns the paths of the condition, each once, in order. */
  public final List<TypedPath> paths() {
    List<TypedPath> paths = new ArrayList<>();
    eachPath(
        path -> {
          if (!paths.contains(path)) {
            paths.add(path);
          }
        });
    return paths;
  }

  /** Returns true if the condition can be evaluated only when the call ends. */
  final boolean isLate() {
    return paths().stream().anyMatch(path -> path.isLate);
  }

  /** Two conditions. */
  public static final class Compound extends TypedCondition {
    public final Junction junction;
    public final TypedCondition left;
    public final TypedCondition right;

    Compound(Junction junction, TypedCondition left, TypedCondition right) {
      this.junction = junction;
      this.left = left;
      this.right = right;
    }

    @Override
    void eachPath(Consumer<TypedPath> visitor) {
      left.eachPath(visitor);
      right.eachPath(visitor);
    }
  }

  /** Negation of a condition. */
  public static final class Negation extends TypedCondition {
    public final TypedCondition negated;

    Negation(TypedCondition negated) {
      this.negated = negated;
    }

    @Override
    void eachPath(Consumer<TypedPath> visitor) {
      negated.eachPath(visitor);
    }
  }

  /** Type in which two operands are compared. */
  public enum Kind {
    /** long, including booleans (0, 1), chars and durations. */
    INTEGRAL,
    DECIMAL,
    STRING,
    /** A path of any reference type and null. */
    NULL
  }

  /** A path or a constant: one of the two is null; both are for the literal null. */
  public static final class Operand {
    public final TypedPath path;

    /** Long, Double or String, according to the kind of the comparison. */
    public final Object constant;

    Operand(TypedPath path, Object constant) {
      this.path = path;
      this.constant = constant;
    }
  }

  /** Comparison of two operands. It does not hold if one of them is absent. */
  public static final class Comparison extends TypedCondition {
    public final Kind kind;
    public final Operand left;
    public final Relation relation;
    public final Operand right;

    Comparison(Kind kind, Operand left, Relation relation, Operand right) {
      this.kind = kind;
      this.left = left;
      this.relation = relation;
      this.right = right;
    }

    @Override
    void eachPath(Consumer<TypedPath> visitor) {
      if (left.path != null) {
        visitor.accept(left.path);
      }
      if (right.path != null) {
        visitor.accept(right.path);
      }
    }
  }
}
