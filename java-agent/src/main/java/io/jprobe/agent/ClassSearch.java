// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.JdkClasses;
import io.jprobe.catalog.ReadClasses;
import io.jprobe.catalog.SupertypeNames;
import io.jprobe.catalog.TracedClass;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Finds the loaded classes that selectors may match, and reads only their class files: names and
 * supertypes are those of the {@link Class} objects.
 */
final class ClassSearch {
  private final Instrumentation instrumentation;
  private final Catalog catalog;
  private final LoadedClassFiles classFiles;

  ClassSearch(Instrumentation instrumentation, Catalog catalog, LoadedClassFiles classFiles) {
    this.instrumentation = instrumentation;
    this.catalog = catalog;
    this.classFiles = classFiles;
  }

  private interface Filter {
    boolean accepts(Class<?> type, SupertypeNames supertypes);
  }

  /** Queues the classes that were loaded before the transformer was added. */
  void enqueueAtStart(boolean isLoadedLater) {
    // A lambda would load classes before main.
    List<Class<?>> matching =
        loaded(
            new Filter() {
              @Override
              public boolean accepts(Class<?> type, SupertypeNames supertypes) {
                return catalog.maySelect(type, supertypes);
              }
            });
    enqueue(isLoadedLater ? classFiles.of(matching) : classFiles.atStart(matching));
  }

  /** Queues the classes that a selector may match and that the catalog does not know. */
  void enqueueMissing() {
    enqueue(
        classFiles.of(
            loaded(
                (type, supertypes) ->
                    catalog.maySelect(type, supertypes)
                        && catalog.find(type.getClassLoader(), internalName(type)) == null)));
  }

  /** Queues the classes whose class files have become available. */
  void enqueueLate() {
    enqueue(classFiles.late());
  }

  /** Queues the classes again for which a class file was missing, if a retry is due. */
  void enqueueIncomplete() {
    Set<TracedClass> due = catalog.incomplete.takeDue();
    if (!due.isEmpty()) {
      enqueue(
          classFiles.of(
              loaded(
                  (type, supertypes) ->
                      due.contains(catalog.find(type.getClassLoader(), internalName(type))))));
    }
  }

  /** Reads the classes that a change of the selectors concerns. */
  ReadClasses read(List<Selector> changed, Selectors next) {
    ReadClasses read = new ReadClasses();
    classFiles
        .of(loaded((type, supertypes) -> isConcerned(type, changed, next, supertypes)))
        .forEach(
            (type, classFile) ->
                read.add(type.getClassLoader(), internalName(type), isOfJdk(type), classFile));
    reportUnreadable();
    return read;
  }

  private boolean isConcerned(
      Class<?> type, List<Selector> changed, Selectors next, SupertypeNames supertypes) {
    String name = type.getName();
    TracedClass traced = catalog.find(type.getClassLoader(), internalName(type));
    return (next.mayMatch(name, isOfJdk(type), () -> supertypes.of(type))
            || traced != null && !traced.methods().isEmpty())
        && changed.stream().anyMatch(one -> one.mayMatch(name, () -> supertypes.of(type)));
  }

  private void enqueue(Map<Class<?>, byte[]> classes) {
    for (Map.Entry<Class<?>, byte[]> each : classes.entrySet()) {
      Class<?> type = each.getKey();
      catalog.enqueue(type.getClassLoader(), internalName(type), isOfJdk(type), each.getValue());
    }
    reportUnreadable();
  }

  private List<Class<?>> loaded(Filter filter) {
    SupertypeNames supertypes = new SupertypeNames();
    List<Class<?>> found = new ArrayList<>();
    for (Class<?> type : instrumentation.getAllLoadedClasses()) {
      if (!type.isArray()
          && filter.accepts(type, supertypes)
          && !Transformer.isOfAgent(type.getClassLoader(), type.getName())
          && instrumentation.isModifiableClass(type)) {
        found.add(type);
      }
    }
    return found;
  }

  /** Logs one line for all classes that cannot be read; collectors get the whole list. */
  private void reportUnreadable() {
    Map<Class<?>, String> unreadable = classFiles.takeUnreadable();
    if (unreadable.isEmpty()) {
      return;
    }
    unreadable.forEach(catalog::addUnreadable);
    Map.Entry<Class<?>, String> first = unreadable.entrySet().iterator().next();
    String name = first.getKey().getName();
    Log.line(
        unreadable.size() == 1
            ? "class " + name + " has no probes, because " + first.getValue()
            : unreadable.size()
                + " selected classes have no probes, because their class files cannot be read,"
                + " such as "
                + name
                + "; jcollect probes PID --all lists them");
  }

  private static boolean isOfJdk(Class<?> type) {
    return JdkClasses.has(type);
  }

  private static String internalName(Class<?> type) {
    return type.getName().replace('.', '/');
  }
}
