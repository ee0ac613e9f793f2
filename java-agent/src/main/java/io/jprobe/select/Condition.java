// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** The condition of a selector: a tree of comparisons, as written. */
public abstract class Condition {
  /** Operator between two conditions. */
  public enum Junction {
    AND,
    OR
  }

  /** Relation between two operands. */
  public enum Relation {
    EQUAL("=="),
    NOT_EQUAL("!="),
    LESS("<"),
    LESS_OR_EQUAL("<="),
    GREATER(">"),
    GREATER_OR_EQUAL(">=");

    /** Operator in Java's syntax. */
    public final String symbol;

    Relation(String symbol) {
      this.symbol = symbol;
    }
  }

  private Condition() {}

  /** Two conditions. The second is evaluated only if the first does not decide the result. */
  public static final class Compound extends Condition {
    public final Junction junction;
    public final Condition left;
    public final Condition right;

    Compound(Junction junction, Condition left, Condition right) {
      this.junction = junction;
      this.left = left;
      this.right = right;
    }
  }

  /** Negation of a condition. */
  public static final class Negation extends Condition {
    public final Condition negated;

    Negation(Condition negated) {
      this.negated = negated;
    }
  }

  /** Comparison of two operands. */
  public static final class Comparison extends Condition {
    public final Operand left;
    public final Relation relation;
    public final Operand right;

    Comparison(Operand left, Relation relation, Operand right) {
      this.left = left;
      this.relation = relation;
      this.right = right;
    }
  }

  /** A path to a boolean, without a comparison. */
  public static final class Truth extends Condition {
    public final Path path;

    Truth(Path path) {
      this.path = path;
    }
  }
}
