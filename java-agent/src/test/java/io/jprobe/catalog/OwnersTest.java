// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ProbeKind;
import io.jprobe.select.Match;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.Before;
import org.junit.Test;

/** Several owners select the same methods: none of them notices the others. */
public class OwnersTest {
  private static final ClassLoader LOADER = OwnersTest.class.getClassLoader();
  private static final String SHOP = Shop.class.getName();

  /** The class with the selected methods. */
  @SuppressWarnings("unused")
  static class Shop {
    int place(int id) {
      return id;
    }

    void cancel(int id) {}
  }

  private Catalog catalog;

  @Before
  public void open() throws Exception {
    PublishedClass.loadNative();
    catalog =
        new Catalog(
            Selectors.NONE, "0.0.0", null, 4, 0, new ApplicationCalls(), () -> new Class<?>[0]);
    catalog.open();
  }

  /** Puts the selectors of owners in force, by the numbers of these. */
  private Selection select(Map<Integer, String> owners) throws Exception {
    Map<Selector, Integer> all = new LinkedHashMap<>();
    for (Map.Entry<Integer, String> each : owners.entrySet()) {
      Selectors.parse(each.getValue()).each().forEach(one -> all.put(one, each.getKey()));
    }
    ReadClasses shown = new ReadClasses();
    shown.add(LOADER, SHOP.replace('.', '/'), false, PublishedClass.classFile(SHOP));
    return catalog.select(
        Selectors.of(List.copyOf(all.keySet()), all::get),
        shown,
        List.of(),
        new PublishedClass.NoFindings());
  }

  private List<TracedMethod> sets() {
    return catalog.find(LOADER, SHOP.replace('.', '/')).methods();
  }

  private List<String> names() {
    return sets().stream().map(TracedMethod::probeName).collect(Collectors.toList());
  }

  private static List<Integer> owners(TracedMethod set) {
    return set.selectedBy().stream().map(match -> match.owner).collect(Collectors.toList());
  }

  @Test
  public void eachDistinctSelectionIsASetWithItsOwnName() throws Exception {
    select(Map.of(2, "**Shop#place(id=arg0)"));
    TracedMethod first = sets().get(0);
    Selection second = select(Map.of(2, "**Shop#place(id=arg0)", 3, "**Shop#place every 2"));
    assertEquals(1, second.added);
    assertEquals(List.of(), second.removed);
    assertEquals(List.of("place", "place__set2"), names());
    assertSame(first, sets().get(0));
    assertFalse(first.isRetired());
    assertEquals(2, sets().get(1).gateWord(Gate.EVERY));
    assertEquals(1, first.gateWord(Gate.EVERY));
  }

  @Test
  public void theSetsOfAClassThatIsLoadedLaterAreNumberedByTheAgeOfTheirOwners() throws Exception {
    for (List<Integer> order : List.of(List.of(2, 3), List.of(3, 2))) {
      Map<Integer, String> owners = new LinkedHashMap<>();
      order.forEach(owner -> owners.put(owner, "**Shop#*(int) every " + owner));
      open();
      select(owners);
      assertEquals(List.of("place", "place__set2", "cancel", "cancel__set2"), names());
      assertEquals(List.of(2), owners(sets().get(0)));
      assertEquals(List.of(3), owners(sets().get(1)));
    }
  }

  @Test
  public void aSetThatComesBackHasItsOldName() throws Exception {
    Map<Integer, String> both = Map.of(2, "**Shop#place", 3, "**Shop#place every 2");
    select(both);
    TracedMethod second = sets().get(1);
    select(Map.of(2, "**Shop#place"));
    assertTrue(second.isRetired());
    assertEquals(List.of("place"), names());
    select(both);
    assertSame(second, sets().get(1));
    assertEquals(List.of("place", "place__set2"), names());
  }

  @Test
  public void aSetWhoseNumberWasFreedHasAnotherProvider() throws Exception {
    select(Map.of(2, "**Shop#place", 3, "**Shop#place every 2"));
    TracedMethod first = sets().get(0);
    select(Map.of(3, "**Shop#place every 2", 4, "**Shop#place every 4"));
    assertEquals("the older one keeps its name", List.of("place__set2", "place"), names());
    assertTrue(first.isRetired());
    assertNotEquals(first.id(), sets().get(1).id());
  }

  @Test
  public void ownersOfTheSameProbesShareThem() throws Exception {
    select(Map.of(2, "**Shop#place"));
    TracedMethod set = sets().get(0);
    Selection shared = select(Map.of(2, "**Shop#place", 3, "**#pl*"));
    assertEquals(0, shared.added);
    assertEquals(List.of(set), sets());
    assertEquals(List.of(2, 3), owners(set));
    set.setGateWord(Gate.EVERY, 7);
    assertEquals(List.of(), select(Map.of(3, "**#pl*")).removed);
    assertFalse(set.isRetired());
    assertEquals("nothing is reset", 7, set.gateWord(Gate.EVERY));
    assertEquals(List.of(3), owners(set));
    assertEquals(1, select(Map.of()).removed.size());
  }

  @Test
  public void anExclusionConcernsItsOwnerAlone() throws Exception {
    select(Map.of(2, "**Shop#place", 3, "**Shop#*; !**#place; !**#new"));
    assertEquals(List.of("place", "cancel"), names());
    assertEquals(List.of(2), owners(sets().get(0)));
    assertEquals(List.of(3), owners(sets().get(1)));
  }

  @Test
  public void theFirstSelectorOfAnOwnerDecidesAndTheOthersAreKnown() throws Exception {
    select(Map.of(2, "**Shop#place(id=arg0); **Shop#place(a=arg0); **#pl*(id=arg0)"));
    Match match = sets().get(0).selectedBy().get(0);
    assertEquals("**Shop#place(id=arg0)", match.deciding().toString());
    assertEquals(
        List.of("**Shop#place(a=arg0)", "**#pl*(id=arg0)"),
        match.overruled().stream().map(Selector::toString).collect(Collectors.toList()));
  }

  @Test
  public void everySetCountsForTheLimit() throws Exception {
    Map<Integer, String> owners = new LinkedHashMap<>();
    for (int owner = 2; owner <= 5; owner++) {
      owners.put(owner, "**Shop#place every " + owner);
    }
    assertEquals("", select(owners).refusal);
    owners.put(6, "**Shop#place every 6");
    assertTrue(select(owners).refusal.contains("max-methods=4"));
    assertEquals(4, sets().size());
  }

  @Test
  public void aWovenSetLeavesAlone() throws Exception {
    select(Map.of(2, "**Shop#place", 3, "**Shop#place every 2"));
    TracedClass shop = catalog.find(LOADER, SHOP.replace('.', '/'));
    List<TracedMethod> both = new ArrayList<>(sets());
    for (TracedMethod set : both) {
      PublishedClass.setSemaphore(set, ProbeKind.RETURN, 1);
    }
    catalog.poll();
    assertEquals(List.of(both.get(0), both.get(1)), List.copyOf(ordered(shop)));
    shop.arm(shop.wanted());
    select(Map.of(2, "**Shop#place"));
    catalog.poll();
    assertEquals(List.of(both.get(0)), ordered(shop));
  }

  private static List<TracedMethod> ordered(TracedClass traced) {
    List<TracedMethod> wanted = new ArrayList<>(traced.methods());
    wanted.retainAll(traced.wanted().keySet());
    return wanted;
  }
}
