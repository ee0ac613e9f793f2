// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.Captures;
import io.jprobe.capture.ClassFiles;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.Match;
import io.jprobe.select.SelectableClass;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** Reads the class files of one burst, and finds the selected methods and their captures. */
final class BurstReader {
  private static final String UNKNOWN_ANNOTATIONS =
      "its annotations of retention CLASS are unknown, because the class was loaded before the"
          + " agent and its loader does not provide its class file";

  private final Selectors selectors;
  private final Consumer<Selector> matched;
  private final Catalog.Listener listener;
  private final ApplicationCalls calls;
  private final Map<LoaderKey, ClassFiles> files = new LinkedHashMap<>();

  /** Each list of matches once: usually those of all methods are equal, and are kept. */
  private final Map<List<Match>, List<Match>> matches = new HashMap<>();

  /** What each selector matches in this burst. */
  final Matches tallies = new Matches();

  /** Selected methods of the class being read that cannot be traced. */
  private Set<Untraceable> untraceable = Set.of();

  private Untraceable latest;

  BurstReader(
      Selectors selectors,
      Consumer<Selector> matched,
      Catalog.Listener listener,
      ApplicationCalls calls) {
    this.selectors = selectors;
    this.matched = matched;
    this.listener = listener;
    this.calls = calls;
  }

  /** Reads a class, and plans the changes to its methods. */
  ClassPlan read(TracedClass traced, QueuedClass queued, Supplier<Set<String>> supertypes) {
    untraceable = new LinkedHashSet<>();
    try {
      List<TracedMethod> selected = readMethods(traced.key, queued, traced.loaderId, supertypes);
      if (!selected.isEmpty()) {
        ParameterNames.remember(traced, queued.classFile);
      }
      return new ClassPlan(traced, selected, List.copyOf(untraceable));
    } catch (RuntimeException | StackOverflowError e) {
      // An unforeseen malformation of one class must not affect the others of its burst. A
      // LinkageError is not caught: it means that the JVM had no memory or file descriptor left for
      // a class of the agent.
      markUnreadable(traced.key, traced.loaderId, e);
      return new ClassPlan(traced, List.of(), List.copyOf(untraceable));
    }
  }

  private void markUnreadable(ClassKey key, int loaderId, Throwable problem) {
    String name = key.internalName.replace('/', '.');
    listener.unreadable(name, problem);
    untraceable.add(
        new Untraceable(name, loaderId, "", "", "its class file cannot be read: " + problem, ""));
  }

  /**
   * Returns the selected methods that can have probes, in class-file order: each once for every
   * distinct selection, that of the oldest owner first.
   */
  private List<TracedMethod> readMethods(
      ClassKey key, QueuedClass queued, int loaderId, Supplier<Set<String>> supertypes) {
    ClassFiles beside =
        files.computeIfAbsent(key.loader, loader -> new ClassFiles(loader.get(), calls));
    ClassFile file = withAnnotations(ClassFile.read(queued.classFile), queued, loaderId, beside);
    beside.add(file);
    SelectableClass candidate = new SelectableClass(file, queued.inJdk, supertypes);
    List<String> probeNames = Names.methodNames(file.methods);
    List<TracedMethod> traced = new ArrayList<>();
    for (int i = 0; i < file.methods.size(); i++) {
      MethodFacts method = file.methods.get(i);
      for (List<Match> alike : byProbes(selectors.matching(candidate, method))) {
        Selector deciding = alike.get(0).deciding();
        Captures captures = captures(deciding, candidate, method, loaderId, beside);
        tallies.add(alike, captures == null ? latest : null);
        if (captures != null) {
          traced.add(new TracedMethod(method, captures, probeNames.get(i), alike));
        }
      }
    }
    return traced;
  }

  /** Returns the matches of a method, grouped by the probes that they give it. */
  private Collection<List<Match>> byProbes(List<Match> matching) {
    if (matching.isEmpty()) {
      return List.of();
    }
    Map<String, List<Match>> alike = new LinkedHashMap<>();
    for (Match match : matching) {
      match.selectors().forEach(matched);
      alike.computeIfAbsent(match.deciding().probeText(), text -> new ArrayList<>()).add(match);
    }
    alike.replaceAll((text, some) -> matches.computeIfAbsent(List.copyOf(some), one -> one));
    return alike.values();
  }

  /** Adds the annotations that the JVM has omitted from the class file of a loaded class. */
  private ClassFile withAnnotations(
      ClassFile file, QueuedClass queued, int loaderId, ClassFiles beside) {
    if (!selectors.needAnnotations(file.name())
        || !file.lacksInvisibleAnnotations(queued.classFile)) {
      return file;
    }
    ClassFile original = beside.resource(file.internalName);
    ClassFile complete = original == null ? null : file.withAnnotationsOf(original);
    if (complete == null) {
      untraceable.add(new Untraceable(file.name(), loaderId, "", "", UNKNOWN_ANNOTATIONS, ""));
      // It concerns all selectors with annotations.
      listener.untraceable(UNKNOWN_ANNOTATIONS, file.name(), UNKNOWN_ANNOTATIONS);
      return file;
    }
    return complete;
  }

  /** Returns the captures of a selected method; null if it cannot have probes. */
  private Captures captures(
      Selector selector,
      SelectableClass candidate,
      MethodFacts method,
      int loaderId,
      ClassFiles beside) {
    String className = candidate.file().name();
    Traceability.Problem problem = Traceability.problem(candidate, method);
    String reason;
    boolean isRetried = false;
    if (problem == null) {
      // Those of other methods.
      beside.takeMissed();
      try {
        return Captures.of(selector, candidate.file(), method, beside);
      } catch (SelectorException e) {
        reason = e.getMessage();
        isRetried = beside.takeMissed();
      }
    } else {
      reason = problem.reason;
    }
    latest =
        new Untraceable(
            className, loaderId, method.name, method.descriptor, reason, selector.toString());
    latest = isRetried ? latest.retried() : latest;
    untraceable.add(latest);
    if (problem == null || problem.isUnforeseen) {
      listener.untraceable(selector.toString(), className + "#" + method, latest.reason);
    }
    return null;
  }
}
