// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.util.List;
import org.junit.Test;

public class ExclusionsTest {
  @Test
  public void classesThatWovenCodeCallsAreExcludedWithTheirNestedClasses() {
    for (String name :
        List.of(
            "java.lang.String",
            "java.lang.Thread",
            "java.lang.Thread$State",
            "java.lang.invoke.MethodHandles$Lookup",
            "java.jprobe.Fire",
            "jdk.internal.misc.Unsafe")) {
      assertTrue(name, Exclusions.isExcluded(name));
    }
  }

  @Test
  public void classesWithSimilarNamesAreNotExcluded() {
    for (String name :
        List.of("java.lang.StringBuilder", "java.lang.ThreadLocal", "java.util.ArrayList")) {
      assertFalse(name, Exclusions.isExcluded(name));
    }
  }
}
