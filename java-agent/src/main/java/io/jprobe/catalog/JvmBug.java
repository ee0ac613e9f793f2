// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.ClassFile;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Bugs by which HotSpot loses more of a class than its bytecode when it retransforms it, whatever
 * is woven. Where that cannot be helped, the class has no probes.
 */
enum JvmBug {
  /**
   * The JVM leaves MethodParameters out of the class file that it writes anew. A class file that
   * has it keeps it: {@link ParameterNames}.
   */
  PARAMETER_NAMES(
      "JDK-8240908",
      "would lose the names of its class's parameters",
      "start the program with -javaagent, or",
      "17.0.20",
      "19") {
    @Override
    boolean concerns(ClassFile file, BooleanSupplier canBeRead) {
      return file.namesMethodParameters && !file.hasMethodParameters && !canBeRead.getAsBoolean();
    }
  },

  /**
   * The JVM reads the annotations wrongly where indices into the constant pool change, and gives up
   * half-way without saying so: then the record's fields are not found. Weaving alone keeps the
   * indices (JDK 17.0.15 and 25.0.3 did no harm), but nothing makes that certain: an agent that the
   * JVM asks after this one may give back another constant pool, and this one's retransformation
   * would have the JVM take it. No class file avoids the bug either: without the annotations they
   * would be lost, and with them the JVM reads them. JDK 21 had no release with the fix when this
   * was written.
   */
  ANNOTATED_RECORD(
      "JDK-8376185", "could break a record with annotated types", "", "25.0.4", "26.0.2", "27") {
    @Override
    boolean concerns(ClassFile file, BooleanSupplier canBeRead) {
      return file.hasAnnotatedRecordTypes;
    }
  };

  private final String number;
  private final String damage;

  /** What helps instead of a later JVM, with a word that joins it; empty for nothing. */
  private final String remedy;

  /** The first release of each feature release that has the fix; all after the last have it. */
  private final List<Runtime.Version> fixes;

  JvmBug(String number, String damage, String remedy, String... fixes) {
    this.number = number;
    this.damage = damage;
    this.remedy = remedy;
    this.fixes = Stream.of(fixes).map(Runtime.Version::parse).collect(Collectors.toList());
  }

  /**
   * Whether retransforming this class does harm where the bug is.
   *
   * @param canBeRead see {@link ParameterNames#canBeRead}
   */
  abstract boolean concerns(ClassFile file, BooleanSupplier canBeRead);

  /** Early-access builds count as what came before them. */
  boolean isIn(Runtime.Version version) {
    Runtime.Version last = fixes.get(fixes.size() - 1);
    return version.compareToIgnoreOptional(last) < 0
        && fixes.stream()
            .noneMatch(
                fix ->
                    fix.feature() == version.feature()
                        && version.compareToIgnoreOptional(fix) >= 0);
  }

  /** Why this JVM must not retransform the class: a clause about a method; null if it may. */
  static String reasonAgainst(ClassFile file, Runtime.Version version, BooleanSupplier canBeRead) {
    for (JvmBug bug : values()) {
      if (bug.isIn(version) && bug.concerns(file, canBeRead)) {
        return String.format(
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
