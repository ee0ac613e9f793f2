// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;
import java.util.stream.Collectors;

/** Renders syntax trees as text with all parentheses, for comparison. */
final class Rendering {
  private Rendering() {}

  static String of(Condition condition) {
    if (condition instanceof Condition.Compound) {
      Condition.Compound compound = (Condition.Compound) condition;
      return "(" + of(compound.left) + " " + compound.junction + " " + of(compound.right) + ")";
    }
    if (condition instanceof Condition.Negation) {
      return "!" + of(((Condition.Negation) condition).negated);
    }
    if (condition instanceof Condition.Comparison) {
      Condition.Comparison comparison = (Condition.Comparison) condition;
      return "(" + of(comparison.left) + comparison.relation.symbol + of(comparison.right) + ")";
    }
    return condition == null ? "none" : of(((Condition.Truth) condition).path);
  }

  private static String of(Operand operand) {
    if (operand instanceof Literal) {
      Literal literal = (Literal) operand;
      return literal.kind == Literal.Kind.STRING
          ? "\"" + literal.value + "\""
          : literal.kind == Literal.Kind.DURATION ? literal.value + "ns" : "" + literal.value;
    }
    return operand.toString();
  }

  /** Renders literals in selector syntax. */
  static List<String> of(List<Capture> captures) {
    return captures.stream()
        .map(
            each ->
                each.name.equals(each.path.toString()) ? each.name : each.name + "=" + each.path)
        .collect(Collectors.toList());
  }
}
