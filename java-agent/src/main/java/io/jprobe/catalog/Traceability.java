// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.SelectableClass;
import org.objectweb.asm.Opcodes;

/** Decides whether a method can have probes, whatever its selector captures. */
public final class Traceability {
  static final String ABSTRACT = "it is abstract";
  static final String NATIVE = "it is native";

  /**
   * A reason, and whether the program's stderr should have it: it does not follow from the code.
   */
  public static final class Problem {
    public final String reason;
    final boolean isUnforeseen;

    private Problem(String reason, boolean isUnforeseen) {
      this.reason = reason;
      this.isUnforeseen = isUnforeseen;
    }
  }

  private Traceability() {}

  /** Returns why the method cannot have probes; null if it can. */
  public static Problem problem(SelectableClass candidate, MethodFacts method) {
    if (candidate.inJdk() && Exclusions.isExcluded(candidate.file().name())) {
      return new Problem("weaving itself needs this class", false);
    }
    if ((method.access & Opcodes.ACC_ABSTRACT) != 0) {
      return new Problem(ABSTRACT, false);
    }
    if ((method.access & Opcodes.ACC_NATIVE) != 0) {
      return new Problem(NATIVE, false);
    }
    String bug =
        JvmBug.reasonAgainst(candidate.file(), Runtime.version(), () -> ParameterNames.canBeRead());
    return bug == null ? null : new Problem(bug, true);
  }
}
