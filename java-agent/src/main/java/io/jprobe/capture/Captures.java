// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.capture.TypedPath.Root;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.layout.WordsLayout;
import io.jprobe.select.Capture;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.Type;

/**
 * Captured values and conditions of one method: those of its selector, with their types in this
 * method.
 */
public final class Captures {
  /**
   * Maximum number of words that a stub passes: one more than a note can describe, because the last
   * is the thread ID.
   */
  private static final int MAX_WORDS = WordsLayout.MAX;

  private final Map<ProbeKind, List<CapturedValue>> values = new EnumMap<>(ProbeKind.class);

  /** Conditions to evaluate when the call begins, in order. */
  public final List<TypedCondition> early;

  /** Conditions to evaluate when the call ends, in order. */
  public final List<TypedCondition> late;

  /** Initial minimum duration of the gate in ns; 0 for none. */
  public final long leastDuration;

  /** Clauses of the selector as written; empty if there are none. */
  public final String conditionText;

  public final long every;
  public final long perSecond;

  /** True if there are neither paths nor conditions other than the gate's numbers. */
  public final boolean isPlain;

  private final boolean hasEntry;

  private Captures(Selector selector, MethodFacts method, PathTyper paths)
      throws SelectorException {
    this.conditionText = selector.conditionText();
    this.every = selector.every();
    this.perSecond = selector.perSecond();
    Decisions decisions =
        new Decisions(
            selector.condition() == null
                ? null
                : new ConditionTyper(selector, paths).type(selector.condition()));
    this.early = List.copyOf(decisions.early);
    this.late = List.copyOf(decisions.late);
    this.leastDuration = decisions.leastDuration;
    List<CapturedValue> asked = new ArrayList<>();
    for (Capture capture : selector.captures()) {
      if (capture.isAllArguments()) {
        addArguments(asked, selector, method, paths);
      } else {
        asked.add(CapturedValue.askedFor(capture.name, paths.type(capture.path)));
      }
    }
    for (ProbeKind kind : ProbeKind.values()) {
      List<CapturedValue> passed = asked.isEmpty() ? new ArrayList<>() : pick(asked, kind);
      addUsual(passed, asked.isEmpty(), kind, method, paths);
      if (passed.stream().anyMatch(value -> value.path.canBeAbsent())) {
        passed.add(CapturedValue.ABSENCE);
      }
      values.put(kind, List.copyOf(passed));
    }
    check(selector);
    this.isPlain = asked.isEmpty() && early.isEmpty() && late.isEmpty();
    this.hasEntry = late.isEmpty() && leastDuration == 0;
  }

  /**
   * Returns the captures of a selector for a method.
   *
   * @throws SelectorException if a path does not resolve or a comparison is invalid, with the
   *     column and the types found
   */
  public static Captures of(Selector selector, ClassFile host, MethodFacts method, ClassFiles files)
      throws SelectorException {
    return new Captures(selector, method, new PathTyper(selector, host, method, files));
  }

  /** Returns all paths that values or conditions read, each once. */
  public List<TypedPath> paths() {
    Set<TypedPath> paths = new LinkedHashSet<>();
    early.forEach(condition -> paths.addAll(condition.paths()));
    late.forEach(condition -> paths.addAll(condition.paths()));
    for (List<CapturedValue> passed : values.values()) {
      passed.stream().filter(value -> value.path != null).forEach(value -> paths.add(value.path));
    }
    return List.copyOf(paths);
  }

  /** Returns true if a probe passes the stack. */
  public boolean hasStack() {
    return values.values().stream()
        .flatMap(List::stream)
        .anyMatch(value -> value.type == ValueType.STACK);
  }

  /** Returns the values that a probe passes in addition to duration and thread ID, in order. */
  public List<CapturedValue> values(ProbeKind kind) {
    return values.get(kind);
  }

  /**
   * Returns the kinds of the method's probes. A condition that is evaluated when the call ends
   * rules out an entry probe, because the decision comes too late for it.
   */
  public EnumSet<ProbeKind> kinds() {
    return hasEntry
        ? EnumSet.allOf(ProbeKind.class)
        : EnumSet.of(ProbeKind.RETURN, ProbeKind.THROW);
  }

  /** Adds the arguments, as far as a probe can pass them besides the other captures. */
  private static void addArguments(
      List<CapturedValue> asked, Selector selector, MethodFacts method, PathTyper paths) {
    Set<String> others = new HashSet<>();
    selector.captures().forEach(capture -> others.add(capture.name));
    // The duration, the thread ID, the exception or the returned value, and a word for absent
    // values.
    int room = MAX_WORDS - 4 - (selector.captures().size() - 1);
    int arguments = method.argumentTypes().length;
    for (int i = 0; i < arguments && room > 0; i++) {
      String name = method.argumentName(i);
      if (!others.contains(name)) {
        asked.add(CapturedValue.askedFor(name, paths.usualArgument(i)));
        room--;
      }
    }
  }

  /**
   * Returns the captured values that exist when the probe fires; those that exist only at the end
   * come first.
   */
  private static List<CapturedValue> pick(List<CapturedValue> asked, ProbeKind kind) {
    List<CapturedValue> picked = new ArrayList<>();
    for (CapturedValue value : asked) {
      boolean thrown = value.path.root == Root.EXCEPTION;
      if (value.path.isLate
          && (kind == ProbeKind.THROW && thrown || kind == ProbeKind.RETURN && !thrown)) {
        picked.add(value);
      }
    }
    for (CapturedValue value : asked) {
      if (!value.path.isLate) {
        picked.add(value);
      }
    }
    return picked;
  }

  private static void addUsual(
      List<CapturedValue> values,
      boolean nothingAsked,
      ProbeKind kind,
      MethodFacts method,
      PathTyper paths) {
    switch (kind) {
      case ENTRY:
        int arguments = nothingAsked ? method.argumentTypes().length : 0;
        for (int i = 0; i < Math.min(arguments, MAX_WORDS - 1); i++) {
          values.add(CapturedValue.usual(method.argumentName(i), paths.usualArgument(i)));
        }
        break;
      case RETURN:
        boolean isAsked = values.stream().anyMatch(value -> value.path.root == Root.RETURN);
        if (!isAsked && method.returnType().getSort() != Type.VOID) {
          values.add(0, CapturedValue.usual("return", paths.usualReturn()));
        }
        break;
      default:
        values.add(0, CapturedValue.usual("exception", paths.usualException()));
    }
  }

  /** Checks that each probe can pass its values. */
  private void check(Selector selector) throws SelectorException {
    ProbeKind fullest = ProbeKind.ENTRY;
    for (ProbeKind kind : ProbeKind.values()) {
      fullest = excess(kind) > excess(fullest) ? kind : fullest;
    }
    int excess = excess(fullest);
    if (excess <= 0) {
      return;
    }
    List<CapturedValue> passed = values.get(fullest);
    List<Integer> columns = new ArrayList<>();
    boolean isReturned = false;
    for (Capture capture : selector.captures()) {
      boolean isPassed =
          passed.stream().anyMatch(value -> value.isAskedFor && value.name.equals(capture.name));
      if (isPassed && !isReturned && capture.path.root.equals("return")) {
        // Without this capture, the probe would pass the returned value itself.
        isReturned = true;
      } else if (isPassed) {
        columns.add(capture.path.column);
      }
    }
    throw selector.error(
        columns.get(columns.size() - excess),
        "at most "
            + (selector.captures().size() - excess)
            + " of these "
            + selector.captures().size()
            + " captures fit"
            + besides(fullest, passed)
            + "; leave out "
            + (excess == 1 ? "this capture" : excess + " captures, from this one on"));
  }

  /** Returns what a probe passes besides the captures; empty for nothing. */
  private static String besides(ProbeKind kind, List<CapturedValue> passed) {
    List<String> besides = new ArrayList<>();
    for (CapturedValue value : passed) {
      if (value == CapturedValue.ABSENCE) {
        besides.add("a word for absent values");
      } else if (!value.isAskedFor) {
        besides.add(kind == ProbeKind.THROW ? "the exception" : "the returned value");
      }
    }
    return besides.isEmpty()
        ? ""
        : ", as the " + kind.suffix + " probe also passes " + String.join(" and ", besides);
  }

  /** Returns the number of values that a probe cannot pass; negative if there is room for more. */
  private int excess(ProbeKind kind) {
    // The thread ID and the duration.
    int more = kind == ProbeKind.ENTRY ? 1 : 2;
    return values.get(kind).size() + more - MAX_WORDS;
  }
}
