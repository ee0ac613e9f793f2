// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.ProbeKind;
import io.jprobe.layout.DirectSemaphoresLayout;
import io.jprobe.stub.StubException;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;

/** Probes that clients request without a semaphore. */
public class DirectLeasesTest {
  /** The traced class; each method has three probes. */
  @SuppressWarnings("unused")
  static class Mill {
    void grind() {}

    void rest() {}
  }

  private final Object client = new Object();
  private final Object other = new Object();
  private Catalog catalog;
  private TracedClass traced;
  private TracedMethod grind;
  private TracedMethod rest;

  @Before
  public void publish() throws Exception {
    catalog = PublishedClass.catalog("**Mill#grind;**Mill#rest");
    String name = Mill.class.getName();
    traced =
        PublishedClass.enqueue(
            catalog,
            DirectLeasesTest.class.getClassLoader(),
            name.replace('.', '/'),
            PublishedClass.classFile(name),
            new PublishedClass.NoFindings());
    grind = traced.methods().get(0);
    rest = traced.methods().get(1);
  }

  @After
  public void close() {
    catalog.retireAll();
    catalog.close();
  }

  private Set<TracedClass> lease(Object client, String events, String counts) throws Exception {
    catalog.leases.lease(client, events, counts);
    return catalog.poll();
  }

  private String sinks(TracedMethod method) {
    return method.sinks(ProbeKind.ENTRY)
        + " "
        + method.sinks(ProbeKind.RETURN)
        + " "
        + method.sinks(ProbeKind.THROW);
  }

  @Test
  public void aLeaseTurnsSinksOnUntilItIsReplacedOrEnds() throws Exception {
    assertEquals(Set.of(traced), lease(client, "1:0-1,1:3-3", "1:0-2"));
    assertEquals("2 6 4", sinks(grind));
    assertEquals("2 0 0", sinks(rest));
    assertEquals(Set.of(traced), lease(client, "", "1:4-5"));
    assertEquals("0 0 0", sinks(grind));
    assertEquals("0 4 4", sinks(rest));
    assertTrue(catalog.leases.end(client));
    assertEquals(Set.of(traced), catalog.poll());
    assertEquals("0 0 0", sinks(rest));
    assertEquals(Map.of(), traced.wanted());
    assertFalse(catalog.leases.end(client));
  }

  @Test
  public void clientsAndTheKernelDoNotAffectEachOther() throws Exception {
    lease(client, "1:1-1", "");
    lease(other, "1:1-2", "1:1-1");
    PublishedClass.setDirect(grind, ProbeKind.THROW, DirectSemaphoresLayout.EVENT, 1);
    catalog.poll();
    assertEquals("0 6 2", sinks(grind));
    catalog.leases.end(other);
    catalog.poll();
    assertEquals("0 2 2", sinks(grind));
    lease(client, "", "");
    assertEquals("0 0 2", sinks(grind));
  }

  @Test
  public void aWrongLeaseChangesNothing() throws Exception {
    lease(client, "1:1-1", "");
    assertWrong("1:0", "cannot lease probes '1:0'; expected generation:first-last, as in 1:0-5");
    for (String wrong :
        new String[] {"1", "-", ":", "1:-", "1:2-1", "1:0-1,", ",1:0-1", "1:0--1", "-1:0-1", "x"}) {
      assertWrong(wrong, "cannot lease probes '");
    }
    assertWrong("1:0-9999999999", "cannot lease probes '1:0-9999999999'; expected ");
    assertWrong("1:\u0660-1", "cannot lease probes '");
    assertWrong("1:0-6", "cannot lease probes 1:0-6: stub library 1 has 6 probes that can");
    assertWrong("0:0-0", "cannot lease probes 0:0-0: stub library 0 has 0 probes that can");
    assertWrong("1:0-0,7:0-0", "cannot lease probes 7:0-0: there is no stub library 7, or not any");
    String many = String.join(",", Collections.nCopies(SlotRange.MAX_RANGES, "1:0-0"));
    assertWrong(many + ",1:0-0", "cannot lease probes: more than 20000 ranges");
    assertEquals(Set.of(), catalog.poll());
    assertEquals("0 2 0", sinks(grind));
    assertEquals(Set.of(traced), lease(client, many, ""));
    assertEquals("2 0 0", sinks(grind));
  }

  private void assertWrong(String ranges, String message) {
    for (boolean areEvents : new boolean[] {true, false}) {
      StubException thrown =
          assertThrows(
              StubException.class,
              () ->
                  catalog.leases.lease(
                      client, areEvents ? ranges : "1:2-2", areEvents ? "" : ranges));
      assertTrue(thrown.getMessage(), thrown.getMessage().startsWith(message));
    }
  }
}
