// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.Captures;
import io.jprobe.capture.ClassFiles;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.Candidate;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.objectweb.asm.Opcodes;

/**
 * Reads the classes of one burst: which of their methods are selected, and what of them is told.
 */
final class ClassReading {
  private final Selectors selectors;
  private final Consumer<Selector> matched;
  private final UntraceableList untraceable;
  private final Catalog.Listener listener;
  private int methods;
  private int slots;

  ClassReading(
      Selectors selectors,
      Consumer<Selector> matched,
      UntraceableList untraceable,
      Catalog.Listener listener) {
    this.selectors = selectors;
    this.matched = matched;
    this.untraceable = untraceable;
    this.listener = listener;
  }

  TracedClass read(
      ClassKey key, Offer offer, int loaderId, Supplier<Set<String>> supertypes, ClassFiles files) {
    ClassFile file;
    try {
      file = ClassFile.read(offer.classFile);
    } catch (RuntimeException e) {
      String name = key.internalName.replace('/', '.');
      listener.unreadable(name, e);
      untraceable.add(
          new Untraceable(name, loaderId, "", "", "its class file cannot be read: " + e));
      return new TracedClass(key, loaderId, List.of());
    }
    files.add(file);
    Candidate candidate = new Candidate(file, offer.inJdk, supertypes);
    List<String> probeNames = Names.methodNames(file.methods);
    List<TracedMethod> traced = new ArrayList<>();
    for (int i = 0; i < file.methods.size(); i++) {
      MethodFacts method = file.methods.get(i);
      List<Selector> matching = selectors.matching(candidate, method);
      matching.forEach(matched);
      if (!matching.isEmpty()) {
        Captures captures = captures(matching.get(0), candidate, method, loaderId, files);
        if (captures != null) {
          traced.add(new TracedMethod(method, captures, probeNames.get(i), methods, slots));
          methods++;
          slots += captures.kinds().size();
        }
      }
    }
    return new TracedClass(key, loaderId, traced);
  }

  /** What the probes of a selected method pass; null if it can have none. */
  private Captures captures(
      Selector selector, Candidate candidate, MethodFacts method, int loaderId, ClassFiles files) {
    String className = candidate.file().name();
    String reason;
    if (candidate.inJdk() && Exclusions.isExcluded(className)) {
      reason = "weaving itself needs this class";
    } else if ((method.access & Opcodes.ACC_ABSTRACT) != 0) {
      reason = "it is abstract";
    } else if ((method.access & Opcodes.ACC_NATIVE) != 0) {
      reason = "it is native";
    } else {
      try {
        return Captures.of(selector, candidate.file(), method, files);
      } catch (SelectorException e) {
        reason = e.getMessage();
        listener.unfit(className + "#" + method, reason);
      }
    }
    untraceable.add(new Untraceable(className, loaderId, method.name, method.descriptor, reason));
    return null;
  }
}
