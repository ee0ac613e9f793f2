// SPDX-License-Identifier: Apache-2.0
package io.jprobe.find;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.util.List;
import java.util.Map;
import org.junit.Test;

public class FinderTest {
  @Test
  public void hiddenClassesComeLast() throws Exception {
    Runnable lambda = () -> {};
    List<Class<?>> classes = List.of(lambda.getClass(), FinderTest.class, Test.class);
    LoadedProgram program =
        new LoadedProgram(classes, types -> Map.of(), new ApplicationCalls(), 10_000_000_000L);
    Finder finder = new Finder(program, Selectors.NONE, 3);
    List<Found> found = finder.find(Selector.parseOrClasses("**"), true);
    assertEquals(FinderTest.class, found.get(0).type);
    assertEquals(Test.class, found.get(1).type);
    assertTrue(found.get(2).reason, found.get(2).reason.startsWith("it is a lambda's own class"));
  }
}
