// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;

public class UntraceableListTest {
  private static List<Untraceable> hidden(String selectors, Class<?>... loaded) throws Exception {
    UntraceableList list = new UntraceableList();
    list.addHidden(() -> loaded, Selectors.parse(selectors), new LoaderIds());
    List<Untraceable> taken = new ArrayList<>();
    list.take().forEach(each -> taken.add(each.untraceable));
    return taken;
  }

  @Test
  public void classesOfTheAgentItselfAreNotListed() throws Exception {
    Runnable lambda = () -> {};
    assertTrue(lambda.getClass().getName().contains("$$Lambda"));
    assertEquals(List.of(), hidden("io.jprobe.**#*", lambda.getClass(), getClass()));
  }

  @Test
  public void entriesAreTakenOnce() {
    UntraceableList list = new UntraceableList();
    assertFalse(list.hasWaited(0));
    list.add(null, new Untraceable("a.B", 1, "c", "()V", "it is abstract", "a.B#c"));
    assertEquals(1, list.take().size());
    assertFalse(list.hasWaited(0));
  }
}
