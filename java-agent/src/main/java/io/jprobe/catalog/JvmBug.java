// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.ClassFile;
import java.util.List;
import java.util.Locale;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * HotSpot bugs that permanently lose class data other than bytecode during a retransformation,
 * whatever is woven. Affected classes get no probes, unless there is a workaround.
 */
enum JvmBug {
  /**
   * The class file that the JVM passes to transformers lacks the attribute MethodParameters. {@link
   * ParameterNames} adds it again.
   */
  PARAMETER_NAMES(
      "JDK-8240908",
      "would lose the names of its class's parameters",
      "start the program with -javaagent, or",
      "17.0.20",
      "19") {
    @Override
    boolean affects(ClassFile file, BooleanSupplier canBeRead) {
      return file.namesMethodParameters && !file.hasMethodParameters && !canBeRead.getAsBoolean();
    }
  },

  /**
   * The JVM misreads the annotations if indices into the constant pool change, and stops half-way
   * without an error; then the record's fields are not found. Weaving alone keeps the indices (JDK
   * 17.0.15 and 25.0.3 did no harm), but that is not guaranteed. A later agent's transformer may
   * return another constant pool, and a retransformation by this agent would make the JVM use it.
   * No class file avoids the bug either: one without the annotations would lose them, and one with
   * them makes the JVM read them. JDK 21 had no release with the fix when this was written.
   */
  ANNOTATED_RECORD(
      "JDK-8376185", "could break a record with annotated types", "", "25.0.4", "26.0.2", "27") {
    @Override
    boolean affects(ClassFile file, BooleanSupplier canBeRead) {
      return file.hasAnnotatedRecordTypes;
    }
  };

  private final String number;
  private final String damage;

  /** A workaround other than a later JVM, followed by a conjunction; empty for none. */
  private final String remedy;

  /** The first update of each feature release that has the fix; all later releases have it. */
  private final List<Runtime.Version> fixes;

  JvmBug(String number, String damage, String remedy, String... fixes) {
    this.number = number;
    this.damage = damage;
    this.remedy = remedy;
    this.fixes = Stream.of(fixes).map(Runtime.Version::parse).collect(Collectors.toList());
  }

  /**
   * Returns true if retransforming this class does harm on a JVM with the bug.
   *
   * @param canBeRead see {@link ParameterNames#canBeRead}
   */
  abstract boolean affects(ClassFile file, BooleanSupplier canBeRead);

  /** Returns true if this version has the bug; an early-access build counts as its predecessor. */
  boolean isIn(Runtime.Version version) {
    Runtime.Version last = fixes.get(fixes.size() - 1);
    return version.compareToIgnoreOptional(last) < 0
        && fixes.stream()
            .noneMatch(
                fix ->
                    fix.feature() == version.feature()
                        && version.compareToIgnoreOptional(fix) >= 0);
  }

  /** Returns why this JVM must not retransform the class, as a clause; null if it may. */
  static String reasonAgainst(ClassFile file, Runtime.Version version, BooleanSupplier canBeRead) {
    for (JvmBug bug : values()) {
      if (bug.isIn(version) && bug.affects(file, canBeRead)) {
        return String.format(
            Locale.ROOT,
            "retransforming on JDK %s %s (%s); %suse JDK %s or later",
            numbers(version),
            bug.damage,
            bug.number,
            bug.remedy.isEmpty() ? "" : bug.remedy + " ",
            numbers(bug.fixAfter(version)));
      }
    }
    return null;
  }

  private Runtime.Version fixAfter(Runtime.Version version) {
    return fixes.stream()
        .filter(fix -> version.compareToIgnoreOptional(fix) < 0)
        .findFirst()
        .orElseThrow();
  }

  private static String numbers(Runtime.Version version) {
    return version.version().stream().map(String::valueOf).collect(Collectors.joining("."));
  }
}
