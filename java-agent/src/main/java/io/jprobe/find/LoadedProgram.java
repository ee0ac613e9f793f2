// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ClassFiles;
import io.jprobe.catalog.JdkClasses;
import io.jprobe.classfile.ClassFile;
import io.jprobe.select.SelectableClass;
import io.jprobe.select.Selector;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The classes that the JVM has loaded at one moment. Their class files are read when they are
 * needed, until a deadline. Loads, links and initializes no class.
 */
public final class LoadedProgram {
  /** Returns the class files of linked classes. */
  public interface Reader {
    Map<Class<?>, byte[]> read(List<Class<?>> classes);
  }

  /** Number of class files that are read at once. */
  private static final int BATCH = 64;

  /** All classes except arrays and the agent's own. */
  final List<Class<?>> classes;

  final ApplicationCalls calls;
  final long deadline;
  private final Reader reader;
  private final Map<Class<?>, ClassFile> known = new IdentityHashMap<>();
  private final Map<String, List<Class<?>>> byName = new HashMap<>();
  private final Map<ClassLoader, ClassFiles> resources = new IdentityHashMap<>();

  /**
   * @param reader reads linked classes from the JVM
   * @param calls runs code of class loaders, whose files stand for classes that are not linked
   * @param nanos time after which no more class files are read
   */
  public LoadedProgram(List<Class<?>> classes, Reader reader, ApplicationCalls calls, long nanos) {
    this.classes = classes;
    this.reader = reader;
    this.calls = calls;
    this.deadline = System.nanoTime() + nanos;
  }

  boolean isLate() {
    return System.nanoTime() - deadline > 0;
  }

  static boolean isOfJdk(Class<?> type) {
    return JdkClasses.has(type);
  }

  /** Returns true for a class that has no name of its own, such as that of a lambda. */
  static boolean isHidden(Class<?> type) {
    return type.getName().indexOf('/') >= 0;
  }

  /** Returns the name without the part that distinguishes copies of a hidden class. */
  static String nameOf(Class<?> type) {
    String name = type.getName();
    return isHidden(type) ? name.substring(0, name.indexOf('/')) : name;
  }

  /** Returns the classes that a selector may match, by their names and supertypes. */
  List<Class<?>> named(Selector selector) {
    Map<Class<?>, Boolean> subtypes = new IdentityHashMap<>();
    List<Class<?>> named = new ArrayList<>();
    for (Class<?> type : classes) {
      if (names(selector, type, subtypes)
          && (!isOfJdk(type) || selector.excludes() || selector.namesPackageOf(nameOf(type)))) {
        named.add(type);
      }
    }
    return named;
  }

  private static boolean names(Selector selector, Class<?> type, Map<Class<?>, Boolean> subtypes) {
    if (!selector.needsSupertypes()) {
      return selector.namesClass(nameOf(type));
    }
    Boolean known = subtypes.get(type);
    if (known == null) {
      known = selector.namesClass(nameOf(type));
      Class<?> above = type.getSuperclass();
      known = known || above != null && names(selector, above, subtypes);
      for (Class<?> each : type.getInterfaces()) {
        known = known || names(selector, each, subtypes);
      }
      subtypes.put(type, known);
    }
    return known;
  }

  /** Returns the class's file; null if it cannot be read, or not in time. */
  ClassFile file(Class<?> type) {
    read(List.of(type));
    return known.get(type);
  }

  /** Returns the file of a class of this loader; null if it is not loaded or cannot be read. */
  ClassFile file(String className, ClassLoader loader) {
    if (byName.isEmpty()) {
      for (Class<?> type : classes) {
        byName.computeIfAbsent(type.getName(), key -> new ArrayList<>(1)).add(type);
      }
    }
    for (Class<?> type : byName.getOrDefault(className, List.of())) {
      if (type.getClassLoader() == loader) {
        return file(type);
      }
    }
    return null;
  }

  /** Reads the files of classes, for {@link #file}, as far as the time allows. */
  void read(List<Class<?>> types) {
    List<Class<?>> left = new ArrayList<>();
    for (Class<?> type : types) {
      if (!known.containsKey(type) && !isHidden(type)) {
        left.add(type);
      }
    }
    for (int i = 0; i < left.size() && !isLate(); i += BATCH) {
      readBatch(left.subList(i, Math.min(i + BATCH, left.size())));
    }
  }

  private void readBatch(List<Class<?>> types) {
    Map<Class<?>, byte[]> files = reader.read(types);
    for (Class<?> type : types) {
      known.put(type, files.containsKey(type) ? parsed(files.get(type)) : resource(type));
    }
  }

  private static ClassFile parsed(byte[] file) {
    try {
      return ClassFile.read(file);
    } catch (RuntimeException | StackOverflowError e) {
      return null;
    }
  }

  private ClassFile resource(Class<?> type) {
    return isLate()
        ? null
        : resources
            .computeIfAbsent(type.getClassLoader(), loader -> new ClassFiles(loader, calls))
            .find(type.getName().replace('.', '/'));
  }

  /** Returns a class to match selectors against. */
  static SelectableClass selectable(Class<?> type, ClassFile file) {
    return new SelectableClass(file, isOfJdk(type), () -> supertypes(type));
  }

  private static Set<String> supertypes(Class<?> type) {
    Set<String> names = new HashSet<>();
    above(type).forEach(each -> names.add(each.getName()));
    return names;
  }

  /** Returns all supertypes, superclasses first. */
  static List<Class<?>> above(Class<?> type) {
    List<Class<?>> above = new ArrayList<>();
    for (Class<?> at = type.getSuperclass(); at != null; at = at.getSuperclass()) {
      above.add(at);
    }
    addInterfaces(type, above);
    List.copyOf(above).forEach(each -> addInterfaces(each, above));
    return above;
  }

  private static void addInterfaces(Class<?> type, List<Class<?>> above) {
    for (Class<?> each : type.getInterfaces()) {
      if (!above.contains(each)) {
        above.add(each);
        addInterfaces(each, above);
      }
    }
  }
}
