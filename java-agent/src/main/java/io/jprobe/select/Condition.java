// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

/** Which calls fire: a tree of comparisons, as written. */
public abstract class Condition {
  /** Whether "and" or "or" joins two conditions. */
  public enum Junction {
    AND,
    OR
  }

  /** What is asked of two operands. */
  public enum Relation {
    EQUAL("=="),
    NOT_EQUAL("!="),
    LESS("<"),
    LESS_OR_EQUAL("<="),
    GREATER(">"),
    GREATER_OR_EQUAL(">=");

    /** As in Java. */
    public final String symbol;

    Relation(String symbol) {
      this.symbol = symbol;
    }
  }

  private Condition() {}

  /** Two conditions; the second is looked at only if the first leaves it open. */
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

  /** The opposite of a condition. */
  public static final class Negation extends Condition {
    public final Condition negated;

    Negation(Condition negated) {
      this.negated = negated;
    }
  }

  /** Two operands in a relation. */
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

  /** A boolean by itself. */
  public static final class Truth extends Condition {
    public final Path path;

    Truth(Path path) {
      this.path = path;
    }
  }
}
