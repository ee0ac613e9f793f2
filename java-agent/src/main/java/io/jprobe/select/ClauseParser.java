// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import java.util.List;

/** Parses the clauses that filter calls: {@code when arg0 > 5 every 100 at most 50/s}. */
final class ClauseParser {
  private final Cursor cursor;
  private final List<Capture> captures;
  private Condition condition;
  private long every;
  private long perSecond;

  ClauseParser(Cursor cursor, List<Capture> captures) {
    this.cursor = cursor;
    this.captures = captures;
  }

  /**
   * Returns true if a clause begins at the cursor. Arguments, classes and methods may be named
   * "when", "every" or "at" too, so the next word decides.
   */
  static boolean isAhead(Cursor cursor) {
    int column = cursor.column();
    String word = cursor.word();
    cursor.moveTo(column + word.length());
    boolean spaced = cursor.isAtBlank() || cursor.isAtBracket() || cursor.atEnd();
    cursor.skipBlanks();
    boolean ahead = spaced && isClause(word, cursor);
    cursor.moveTo(column);
    return ahead;
  }

  private static boolean isClause(String word, Cursor afterWord) {
    switch (word) {
      case "every":
        return Character.isDigit(afterWord.peek());
      case "at":
        return afterWord.word().equals("most");
      case "when":
        return !ConditionParser.isOperatorAhead(afterWord);
      default:
        return false;
    }
  }

  /** Parses all clauses up to the end of the selector. */
  Clauses clauses() throws SelectorException {
    cursor.skipBlanks();
    int start = cursor.column();
    while (!cursor.atEnd()) {
      clause();
      cursor.skipBlanks();
      skipJoint();
    }
    String text = withSingleBlanks(cursor.text.substring(start));
    return new Clauses(condition, every, perSecond, text);
  }

  /** Parses clauses. The "when" of a leading condition may be missing. */
  Clauses settings() throws SelectorException {
    cursor.skipBlanks();
    if (!cursor.atEnd() && !isAhead(cursor)) {
      condition = new ConditionParser(cursor, captures).condition();
    }
    return clauses();
  }

  private void clause() throws SelectorException {
    int column = cursor.column();
    boolean when = cursor.acceptWord("when");
    cursor.skipBlanks();
    if (when && !isAhead(cursor)) {
      checkFirst(condition == null, "a condition", column);
      condition = new ConditionParser(cursor, captures).condition();
    } else if (cursor.acceptWord("every")) {
      checkFirst(every == 0, "an 'every'", column);
      every = count("every");
    } else if (cursor.acceptWord("at")) {
      checkFirst(perSecond == 0, "an 'at most'", column);
      perSecond = rate();
    } else {
      throw cursor.error("expected when, every, at most or the end, found " + cursor.found());
    }
  }

  private void checkFirst(boolean isFirst, String what, int column) throws SelectorException {
    if (!isFirst) {
      throw cursor.error(column, "there is " + what + " already");
    }
  }

  private long rate() throws SelectorException {
    cursor.skipBlanks();
    if (!cursor.acceptWord("most")) {
      throw cursor.error("expected 'most', as in at most 50/s, found " + cursor.found());
    }
    long rate = count("at most");
    cursor.skipBlanks();
    int column = cursor.column();
    if (cursor.accept("/")) {
      cursor.skipBlanks();
      if (cursor.acceptWord("s")) {
        return rate;
      }
    }
    throw cursor.error(column, "expected '/s', as in at most 50/s");
  }

  private long count(String after) throws SelectorException {
    cursor.skipBlanks();
    int column = cursor.column();
    long count = new LiteralParser(cursor).count(after);
    if (count < 1) {
      throw cursor.error(column, "expected a number of at least 1");
    }
    return count;
  }

  /** Skips the "and" between two clauses. */
  private void skipJoint() throws SelectorException {
    if (cursor.accept(",") || cursor.accept("&&") || cursor.acceptWord("and")) {
      cursor.skipBlanks();
      if (cursor.atEnd()) {
        throw cursor.error("expected when, every or at most, found the end");
      }
    }
  }

  private static String withSingleBlanks(String written) {
    StringBuilder text = new StringBuilder();
    Quotes quotes = new Quotes();
    boolean blank = false;
    for (int i = 0; i < written.length(); i++) {
      char c = written.charAt(i);
      if (!quotes.enclose(c) && Cursor.isBlank(c)) {
        blank = true;
      } else {
        text.append(blank ? " " : "").append(c);
        blank = false;
      }
    }
    return text.toString();
  }
}
