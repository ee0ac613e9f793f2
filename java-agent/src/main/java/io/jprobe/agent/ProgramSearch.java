// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.find.Explainer;
import io.jprobe.find.Finder;
import io.jprobe.find.Found;
import io.jprobe.find.LoadedProgram;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** Searches the loaded classes, for a command or a report. Changes nothing. */
final class ProgramSearch {
  /** Time after which the search ends with what it has found. */
  private static final long FIND_NANOS = 1_500_000_000L;

  /** Maximum time of the explanations for one command. Other commands wait for it. */
  private static final long EXPLAIN_NANOS = 250_000_000L;

  private static final int MAX_FOUND = 10_000;

  static final String NOT_LOADED = "matches no loaded class";
  private static final String LATER = "still applies to classes that are loaded later";

  private final Tracing tracing;

  ProgramSearch(Tracing tracing) {
    this.tracing = tracing;
  }

  private LoadedProgram program(long nanos) {
    List<Class<?>> classes = new ArrayList<>();
    for (Class<?> type : tracing.instrumentation.getAllLoadedClasses()) {
      if (!type.isArray() && !Transformer.isOfAgent(type.getClassLoader(), type.getName())) {
        classes.add(type);
      }
    }
    return new LoadedProgram(
        classes, types -> tracing.classFiles.ofLinked(types, nanos), tracing.fileCalls, nanos);
  }

  /** Returns the selectors that no connection leases. */
  private Selectors unleased() {
    return Selectors.of(
        tracing.selected().stream()
            .filter(one -> one.client == null)
            .map(one -> one.selector)
            .collect(Collectors.toList()),
        one -> Selectors.UNLEASED);
  }

  /** Writes what a pattern matches; if that is nothing, the reason. */
  void find(String pattern, int most, ControlReply reply) throws SelectorException {
    Selector selector = Selector.parseOrClasses(pattern);
    LoadedProgram program = program(FIND_NANOS);
    Finder finder = new Finder(program, unleased(), Math.max(1, Math.min(most, MAX_FOUND)));
    List<Found> found = finder.find(selector, !selector.toString().equals(pattern.trim()));
    for (Found one : found) {
      ClassLoader loader = one.type.getClassLoader();
      reply.found(one, tracing.catalog.loaderId(loader), decidingFor(one));
    }
    reply.searched(finder.matchingClasses(), finder.hasMore());
    if (found.isEmpty() && !finder.hasMore()) {
      reply.nothingFound(new Explainer(program, unleased()).explain(selector));
    }
  }

  /** Returns the selectors that trace a method now, at most one for each owner. */
  private Set<String> decidingFor(Found one) {
    Set<String> deciding = new LinkedHashSet<>();
    TracedClass traced =
        tracing.catalog.find(one.type.getClassLoader(), one.className.replace('.', '/'));
    if (traced != null) {
      for (TracedMethod method : traced.methods()) {
        if (method.name.equals(one.method) && method.descriptor.equals(one.descriptor)) {
          method.selectedBy().forEach(match -> deciding.add(match.deciding().toString()));
        }
      }
    }
    return deciding;
  }

  /**
   * Returns why each selector traces nothing, unless it traces something or excludes methods.
   *
   * @param together the selectors of the same owner, whose exclusions apply
   */
  Map<Selector, String> explain(List<Selector> selectors, List<Selector> together) {
    List<Selector> silent = new ArrayList<>(selectors);
    silent.removeIf(Selector::excludes);
    Map<Selector, String> problems = explain(silent, together, EXPLAIN_NANOS);
    problems.replaceAll(
        (selector, problem) -> problem.startsWith(NOT_LOADED) ? later(problem) : problem);
    return problems;
  }

  private static String later(String problem) {
    return problem + (problem.endsWith("?") ? " It " : "; it ") + LATER;
  }

  /**
   * Returns why each of these selectors in force, none of which excludes methods, traces nothing.
   */
  Map<Selector, String> explain(List<Selector> selectors, long nanos) {
    List<Selector> together =
        tracing.selected().stream().map(one -> one.selector).collect(Collectors.toList());
    return explain(selectors, together, nanos);
  }

  private Map<Selector, String> explain(
      List<Selector> selectors, List<Selector> together, long nanos) {
    Map<Selector, String> problems = new HashMap<>();
    if (!selectors.isEmpty()) {
      Explainer explainer =
          new Explainer(program(nanos), Selectors.of(together, one -> Selectors.UNLEASED));
      selectors.forEach(selector -> problems.put(selector, explainer.explain(selector)));
    }
    return problems;
  }
}
