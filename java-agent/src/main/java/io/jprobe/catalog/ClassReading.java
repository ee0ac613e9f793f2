// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.Captures;
import io.jprobe.capture.ClassFiles;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.SelectableClass;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.objectweb.asm.Opcodes;

/**
 * Reads classes that came together: which of their methods are selected, and what of them is told.
 */
final class ClassReading {
  private final Selectors selectors;
  private final Consumer<Selector> matched;
  private final Catalog.Listener listener;
  private final ApplicationCalls calls;
  private final Map<LoaderKey, ClassFiles> files = new LinkedHashMap<>();

  /** What is selected and cannot be traced, of the class that was read last. */
  private List<Untraceable> untraceable = List.of();

  ClassReading(
      Selectors selectors,
      Consumer<Selector> matched,
      Catalog.Listener listener,
      ApplicationCalls calls) {
    this.selectors = selectors;
    this.matched = matched;
    this.listener = listener;
    this.calls = calls;
  }

  /** What a class is to have, given what it has. */
  ClassPlan read(TracedClass traced, Offer offer, Supplier<Set<String>> supertypes) {
    untraceable = new ArrayList<>();
    try {
      List<TracedMethod> wanted = readMethods(traced.key, offer, traced.loaderId, supertypes);
      if (!wanted.isEmpty()) {
        ParameterNames.remember(traced, offer.classFile);
      }
      return new ClassPlan(traced, wanted, untraceable);
    } catch (RuntimeException | StackOverflowError e) {
      // A class may be bent in ways that nobody has thought of; the others of its burst are not. A
      // LinkageError is the agent's own: the JVM had no room, or no descriptor, for what reads it.
      refuse(traced.key, traced.loaderId, e);
      return new ClassPlan(traced, List.of(), untraceable);
    }
  }

  private void refuse(ClassKey key, int loaderId, Throwable problem) {
    String name = key.internalName.replace('/', '.');
    listener.unreadable(name, problem);
    untraceable.add(
        new Untraceable(name, loaderId, "", "", "its class file cannot be read: " + problem));
  }

  /** The selected methods that can have probes, in class-file order. */
  private List<TracedMethod> readMethods(
      ClassKey key, Offer offer, int loaderId, Supplier<Set<String>> supertypes) {
    ClassFile file = ClassFile.read(offer.classFile);
    ClassFiles beside =
        files.computeIfAbsent(key.loader, loader -> new ClassFiles(loader.get(), calls));
    beside.add(file);
    SelectableClass candidate = new SelectableClass(file, offer.inJdk, supertypes);
    List<String> probeNames = Names.methodNames(file.methods);
    List<TracedMethod> traced = new ArrayList<>();
    for (int i = 0; i < file.methods.size(); i++) {
      MethodFacts method = file.methods.get(i);
      List<Selector> matching = selectors.matching(candidate, method);
      matching.forEach(matched);
      if (!matching.isEmpty()) {
        Captures captures = captures(matching.get(0), candidate, method, loaderId, beside);
        if (captures != null) {
          traced.add(new TracedMethod(method, captures, probeNames.get(i), matching.get(0)));
        }
      }
    }
    return traced;
  }

  /** What the probes of a selected method pass; null if it can have none. */
  private Captures captures(
      Selector selector,
      SelectableClass candidate,
      MethodFacts method,
      int loaderId,
      ClassFiles beside) {
    String className = candidate.file().name();
    String bug =
        JvmBug.reasonAgainst(candidate.file(), Runtime.version(), () -> ParameterNames.canBeRead());
    String reason;
    if (candidate.inJdk() && Exclusions.isExcluded(className)) {
      reason = "weaving itself needs this class";
    } else if ((method.access & Opcodes.ACC_ABSTRACT) != 0) {
      reason = "it is abstract";
    } else if ((method.access & Opcodes.ACC_NATIVE) != 0) {
      reason = "it is native";
    } else if (bug != null) {
      reason = bug;
      listener.unfit(className + "#" + method, reason);
    } else {
      try {
        return Captures.of(selector, candidate.file(), method, beside);
      } catch (SelectorException e) {
        reason = e.getMessage();
        listener.unfit(className + "#" + method, reason);
      }
    }
    untraceable.add(new Untraceable(className, loaderId, method.name, method.descriptor, reason));
    return null;
  }
}
