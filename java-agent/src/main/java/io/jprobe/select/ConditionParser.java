// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import io.jprobe.select.Condition.Junction;
import io.jprobe.select.Condition.Relation;
import java.util.ArrayList;
import java.util.List;

/**
 * Parses the condition after "when". Precedence from lowest to highest: "||", "&&", "!",
 * comparisons.
 */
final class ConditionParser {
  private static final String[][] RELATIONS = {
    {"==", "eq"}, {"!=", "ne"}, {"<", "lt"}, {"<=", "le"}, {">", "gt"}, {">=", "ge"}
  };

  /** Maximum number of parts, which keeps recursion over the tree within the stack. */
  private static final int MAX_PARTS = 500;

  private final Cursor cursor;
  private final List<Capture> captures;
  private final PathParser paths;
  private final LiteralParser literals;
  private int parts;

  /**
   * @param captures captures whose names a condition may use
   */
  ConditionParser(Cursor cursor, List<Capture> captures) {
    this.cursor = cursor;
    this.captures = captures;
    this.paths = new PathParser(cursor);
    this.literals = new LiteralParser(cursor);
  }

  /** Returns true if the next token joins or compares, and so cannot begin a condition. */
  static boolean isOperatorAhead(Cursor cursor) {
    for (String[] spellings : RELATIONS) {
      if (cursor.isAt(spellings[0]) || cursor.word().equals(spellings[1])) {
        return true;
      }
    }
    String word = cursor.word();
    return cursor.isAt("&&") || cursor.isAt("||") || word.equals("and") || word.equals("or");
  }

  Condition condition() throws SelectorException {
    Condition left = conjunction();
    while (accept("||", "or")) {
      left = new Condition.Compound(Junction.OR, left, conjunction());
    }
    return left;
  }

  private Condition conjunction() throws SelectorException {
    Condition left = negation();
    while (acceptAnd()) {
      left = new Condition.Compound(Junction.AND, left, negation());
    }
    return left;
  }

  /** Consumes an "and", unless it joins this condition to the next clause. */
  private boolean acceptAnd() throws SelectorException {
    int column = cursor.column();
    if (!accept("&&", "and")) {
      return false;
    }
    cursor.skipBlanks();
    boolean clauseAhead = ClauseParser.isAhead(cursor);
    if (clauseAhead) {
      cursor.moveTo(column);
    }
    return !clauseAhead;
  }

  private Condition negation() throws SelectorException {
    cursor.skipBlanks();
    if (++parts > MAX_PARTS) {
      throw cursor.error("a condition has at most " + MAX_PARTS + " parts");
    }
    if (accept("!", "not")) {
      return new Condition.Negation(negation());
    }
    if (!cursor.isAtBracket() || PathParser.isCastAhead(cursor)) {
      return comparison();
    }
    char close = cursor.open();
    Condition inner = condition();
    cursor.skipBlanks();
    if (!cursor.acceptClose(close)) {
      throw cursor.error("expected '" + close + "' or an operator, found " + cursor.found());
    }
    return inner;
  }

  private Condition comparison() throws SelectorException {
    Operand left = operand();
    Relation relation = relation();
    if (relation == null) {
      return truth(left);
    }
    Operand right = operand();
    check(left, right);
    int column = cursor.column();
    if (relation() != null) {
      cursor.moveTo(column);
      cursor.skipBlanks();
      throw cursor.error("a comparison has two sides; join two comparisons with &&");
    }
    return new Condition.Comparison(left, relation, right);
  }

  private Condition truth(Operand operand) throws SelectorException {
    if (isDuration(operand)) {
      throw cursor.error("expected a comparison, as in duration > 5ms, found " + cursor.found());
    }
    if (operand instanceof Literal) {
      throw cursor.error(
          "expected a comparison after " + operand + ", found " + cursor.found() + spaced(operand));
    }
    return new Condition.Truth((Path) operand);
  }

  private Operand operand() throws SelectorException {
    cursor.skipBlanks();
    Literal literal = literals.literal();
    if (literal != null) {
      return literal;
    }
    if (!Cursor.isNameStart(cursor.peek()) && !PathParser.isCastAhead(cursor)) {
      throw cursor.error("expected a path or a value, as in arg0.id > 5, found " + cursor.found());
    }
    Path path = paths.path();
    if (isDuration(path) && !path.steps.isEmpty()) {
      throw cursor.error(path.steps.get(0).column, "the duration has no properties");
    }
    return withoutCapture(path);
  }

  private Path withoutCapture(Path path) {
    for (Capture capture : captures) {
      if (capture.name.equals(path.root)) {
        List<Path.Step> steps = new ArrayList<>(capture.path.steps);
        steps.addAll(path.steps);
        return new Path(capture.path.root, path.column, steps);
      }
    }
    return path;
  }

  private Relation relation() throws SelectorException {
    cursor.skipBlanks();
    // Longer operators precede their prefixes.
    Relation found = null;
    int length = 0;
    for (Relation relation : Relation.values()) {
      String[] spellings = RELATIONS[relation.ordinal()];
      if (cursor.isAt(spellings[0]) && spellings[0].length() > length) {
        found = relation;
        length = spellings[0].length();
      } else if (cursor.word().equals(spellings[1])) {
        found = relation;
        length = spellings[1].length();
      }
    }
    if (found == null && cursor.peek() == '=') {
      throw cursor.error("expected '==' to compare, found a single '='");
    }
    cursor.moveTo(cursor.column() + length);
    return found;
  }

  private void check(Operand left, Operand right) throws SelectorException {
    checkDuration(left, right);
    checkDuration(right, left);
    if (left instanceof Literal && right instanceof Literal) {
      throw cursor.error(left.column, "expected a path on one side, as in arg0.id");
    }
  }

  private void checkDuration(Operand one, Operand other) throws SelectorException {
    boolean isTime = other instanceof Literal && ((Literal) other).kind == Literal.Kind.DURATION;
    if (isDuration(one) && !isTime) {
      throw cursor.error(other.column, "a duration needs a unit, as in 5ms" + spaced(other));
    }
    if (isTime && one instanceof Path && !PathParser.isRoot(((Path) one).root)) {
      throw notDuration((Path) one);
    }
    if (isTime && !isDuration(one)) {
      throw cursor.error(other.column, "only duration is compared with a time");
    }
  }

  /** Returns what to write for a number whose unit stands behind a blank; otherwise empty. */
  private String spaced(Operand operand) {
    int end = operand.column + operand.toString().length();
    int unit = end;
    while (unit < cursor.text.length() && Cursor.isBlank(cursor.text.charAt(unit))) {
      unit++;
    }
    String word = cursor.wordAt(unit);
    return operand instanceof Literal && unit > end && LiteralParser.UNITS.contains(word)
        ? "; write " + operand + word + " without a space"
        : "";
  }

  /** Returns the error for a name that is compared with a time. */
  private SelectorException notDuration(Path path) {
    boolean isNear = path.steps.isEmpty() && new NearestNames("duration").distance(path.root) >= 0;
    return cursor.error(
        path.column,
        isNear
            ? "there is no '" + path.root + "'; did you mean duration?"
            : "'" + path + "' is not a duration; only duration is compared with a time");
  }

  private static boolean isDuration(Operand operand) {
    return operand instanceof Path && ((Path) operand).root.equals("duration");
  }

  private boolean accept(String symbol, String word) throws SelectorException {
    cursor.skipBlanks();
    if (cursor.accept(symbol) || cursor.acceptWord(word)) {
      return true;
    }
    if (symbol.length() == 2 && cursor.peek() == symbol.charAt(0)) {
      throw cursor.error("expected '" + symbol + "', found a single '" + cursor.peek() + "'");
    }
    return false;
  }
}
