// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.select.Selectors;
import java.util.Set;
import org.junit.Test;

public class SupertypeNamesTest {
  private static boolean isInitialized;

  private interface Top {}

  private interface Side extends Top {}

  private static class Base implements Side {}

  private static class Leaf extends Base implements Comparable<Leaf> {
    static {
      isInitialized = true;
    }

    @Override
    public int compareTo(Leaf other) {
      return 0;
    }
  }

  private static String name(Class<?> type) {
    return type.getName();
  }

  @Test
  public void theSupertypesOfALoadedClassAreKnownWithoutInitializingIt() {
    SupertypeNames names = new SupertypeNames();
    Set<String> expected =
        Set.of(
            name(Object.class),
            name(Base.class),
            name(Side.class),
            name(Top.class),
            name(Comparable.class));
    assertEquals(expected, names.of(Leaf.class));
    // A second class shares what is known.
    assertEquals(
        Set.of(name(Object.class), name(Side.class), name(Top.class)), names.of(Base.class));
    assertEquals(expected, names.of(Leaf.class));
    assertFalse(isInitialized);
  }

  @Test
  public void onlySubtypesMayMatch() throws Exception {
    Selectors selectors = Selectors.parse("+" + name(Top.class) + "#*");
    SupertypeNames names = new SupertypeNames();
    assertTrue(selectors.mayMatch(name(Leaf.class), false, () -> names.of(Leaf.class)));
    assertFalse(selectors.mayMatch("a.B", false, () -> names.of(String.class)));
    // Without the class object, only its class file tells.
    assertTrue(selectors.mayMatch("a.B", false));
  }
}
