// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedCondition.Kind;
import io.jprobe.capture.TypedPath.Root;
import io.jprobe.select.Condition;
import io.jprobe.select.Condition.Relation;
import io.jprobe.select.Literal;
import io.jprobe.select.Operand;
import io.jprobe.select.Path;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import org.objectweb.asm.Type;

/**
 * Checks the comparisons of a condition and determines the type in which their operands are
 * compared.
 */
final class ConditionTyper {
  private final Selector selector;
  private final PathTyper paths;

  ConditionTyper(Selector selector, PathTyper paths) {
    this.selector = selector;
    this.paths = paths;
  }

  TypedCondition type(Condition condition) throws SelectorException {
    if (condition instanceof Condition.Compound) {
      Condition.Compound compound = (Condition.Compound) condition;
      return new TypedCondition.Compound(
          compound.junction, type(compound.left), type(compound.right));
    }
    if (condition instanceof Condition.Negation) {
      return new TypedCondition.Negation(type(((Condition.Negation) condition).negated));
    }
    if (condition instanceof Condition.Truth) {
      return truth(((Condition.Truth) condition).path);
    }
    return comparison((Condition.Comparison) condition);
  }

  private TypedCondition truth(Path path) throws SelectorException {
    TypedPath typed = pathOf(path);
    if (typed.valueType != ValueType.BOOLEAN) {
      throw selector.error(
          path.column,
          "'" + path + "' is of type " + typed.type.getClassName() + ", not boolean; compare it");
    }
    return new TypedCondition.Comparison(
        Kind.INTEGRAL,
        new TypedCondition.Operand(typed, null),
        Relation.NOT_EQUAL,
        new TypedCondition.Operand(null, 0L));
  }

  /** Type of an operand. */
  private enum Sort {
    NUMBER,
    DECIMAL,
    CHAR,
    BOOLEAN,
    STRING,
    REFERENCE,
    DURATION,
    NULL
  }

  private TypedCondition comparison(Condition.Comparison written) throws SelectorException {
    TypedPath left = pathOf(written.left);
    TypedPath right = pathOf(written.right);
    Sort leftSort = sortOf(written.left, left);
    Sort rightSort = sortOf(written.right, right);
    if (leftSort == Sort.REFERENCE && rightSort == Sort.STRING && paths.named(left) != null) {
      left = paths.named(left);
      leftSort = Sort.STRING;
    }
    if (rightSort == Sort.REFERENCE && leftSort == Sort.STRING && paths.named(right) != null) {
      right = paths.named(right);
      rightSort = Sort.STRING;
    }
    TypedPath converted = converted(left, leftSort, rightSort);
    if (converted != null) {
      left = converted;
      leftSort = sortOf(written.left, left);
    }
    converted = converted(right, rightSort, leftSort);
    if (converted != null) {
      right = converted;
      rightSort = sortOf(written.right, right);
    }
    if (leftSort == Sort.CHAR && isCharacter(written.right)) {
      rightSort = Sort.CHAR;
    }
    if (rightSort == Sort.CHAR && isCharacter(written.left)) {
      leftSort = Sort.CHAR;
    }
    Kind kind = kind(leftSort, rightSort);
    if (kind == null) {
      throw selector.error(
          written.left.column,
          "cannot compare "
              + describe(written.left, left)
              + " with "
              + describe(written.right, right)
              + remedy(written.left, left, rightSort)
              + remedy(written.right, right, leftSort));
    }
    boolean ordered = written.relation != Relation.EQUAL && written.relation != Relation.NOT_EQUAL;
    boolean isNumber = kind == Kind.INTEGRAL || kind == Kind.DECIMAL;
    if (ordered && (!isNumber || leftSort == Sort.BOOLEAN)) {
      throw selector.error(
          written.left.column,
          describe(written.left, left)
              + " can only be compared with == and !=, not with "
              + written.relation.symbol);
    }
    return new TypedCondition.Comparison(
        kind,
        operand(written.left, left, kind),
        written.relation,
        operand(written.right, right, kind));
  }

  /** Returns the path to the string, number or boolean that an object may be; otherwise null. */
  private TypedPath converted(TypedPath path, Sort sort, Sort other) {
    if (sort != Sort.REFERENCE) {
      return null;
    }
    Conversions conversions = paths.conversions();
    switch (other) {
      case STRING:
        return paths.converted(path, conversions.toText(path.type));
      case NUMBER:
      case CHAR:
        return paths.converted(path, conversions.toNumber(path.type, false));
      case DECIMAL:
        return paths.converted(path, conversions.toNumber(path.type, true));
      case BOOLEAN:
        return paths.converted(path, conversions.toTruth(path.type));
      default:
        return null;
    }
  }

  private TypedPath pathOf(Operand operand) throws SelectorException {
    TypedPath path = operand instanceof Path ? paths.type((Path) operand) : null;
    if (path != null && path.root == Root.STACK) {
      throw selector.error(
          operand.column, "a stack cannot be compared: it is taken after the condition has passed");
    }
    return path;
  }

  private static Sort sortOf(Operand operand, TypedPath path) {
    if (path == null) {
      switch (((Literal) operand).kind) {
        case INTEGER:
          return Sort.NUMBER;
        case DECIMAL:
          return Sort.DECIMAL;
        case STRING:
          return Sort.STRING;
        case BOOLEAN:
          return Sort.BOOLEAN;
        case DURATION:
          return Sort.DURATION;
        default:
          return Sort.NULL;
      }
    }
    if (path.root == Root.DURATION) {
      return Sort.DURATION;
    }
    switch (path.valueType) {
      case BOOLEAN:
        return Sort.BOOLEAN;
      case CHAR:
        return Sort.CHAR;
      case FLOAT:
      case DOUBLE:
        return Sort.DECIMAL;
      case STRING:
        return Sort.STRING;
      case REFERENCE:
        return Sort.REFERENCE;
      default:
        return Sort.NUMBER;
    }
  }

  /** Returns true for a string of one character, which can be compared with a char. */
  private static boolean isCharacter(Operand operand) {
    return operand instanceof Literal
        && ((Literal) operand).kind == Literal.Kind.STRING
        && ((String) ((Literal) operand).value).length() == 1;
  }

  /** Returns the kind of the comparison; null if the operands cannot be compared. */
  private static Kind kind(Sort left, Sort right) {
    boolean numbers = isNumber(left) && isNumber(right);
    if (numbers) {
      return left == Sort.DECIMAL || right == Sort.DECIMAL ? Kind.DECIMAL : Kind.INTEGRAL;
    }
    if (left == Sort.NULL || right == Sort.NULL) {
      Sort other = left == Sort.NULL ? right : left;
      return other == Sort.STRING || other == Sort.REFERENCE ? Kind.NULL : null;
    }
    if (left != right || left == Sort.REFERENCE) {
      return null;
    }
    return left == Sort.STRING ? Kind.STRING : Kind.INTEGRAL;
  }

  private static boolean isNumber(Sort sort) {
    return sort == Sort.NUMBER || sort == Sort.DECIMAL || sort == Sort.CHAR;
  }

  /** Returns what to write for an object instead; empty if there is nothing to suggest. */
  private String remedy(Operand operand, TypedPath path, Sort other) {
    if (path == null || other == Sort.NULL || path.type.getSort() != Type.OBJECT) {
      return "";
    }
    if (path.root != Root.EXCEPTION && other == Sort.REFERENCE && paths.named(path) != null) {
      return operand.toString().indexOf('.') < 0
          ? ""
          : "; write the name of a constant as a string, as in \"PAID\"";
    }
    switch (path.type.getClassName()) {
      case "java.math.BigDecimal":
      case "java.math.BigInteger":
        return "; write " + operand + ".doubleValue()";
      case "java.util.Optional":
        return "; write " + operand + ".get()";
      case "java.util.OptionalInt":
        return "; write " + operand + ".getAsInt()";
      case "java.util.OptionalLong":
        return "; write " + operand + ".getAsLong()";
      case "java.util.OptionalDouble":
        return "; write " + operand + ".getAsDouble()";
      default:
        return "";
    }
  }

  private static String describe(Operand operand, TypedPath path) {
    return path == null
        ? operand.toString()
        : "'" + operand + "' of type " + path.type.getClassName();
  }

  private static TypedCondition.Operand operand(Operand written, TypedPath path, Kind kind) {
    return new TypedCondition.Operand(
        path, path == null ? constant(((Literal) written).value, kind) : null);
  }

  private static Object constant(Object value, Kind kind) {
    switch (kind) {
      case DECIMAL:
        return ((Number) value).doubleValue();
      case INTEGRAL:
        if (value instanceof Boolean) {
          return (Boolean) value ? 1L : 0L;
        }
        return value instanceof String ? (long) ((String) value).charAt(0) : value;
      default:
        return value;
    }
  }
}
