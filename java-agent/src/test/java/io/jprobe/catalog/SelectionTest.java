// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertNotSame;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ProbeKind;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.Before;
import org.junit.Test;

/** Selectors change while the program runs. */
public class SelectionTest {
  private static final ClassLoader LOADER = SelectionTest.class.getClassLoader();
  private static final String SHOP = Shop.class.getName().replace('.', '/');
  private static final String OTHER = Other.class.getName().replace('.', '/');
  private static final Catalog.Listener NO_FINDINGS = new PublishedClass.NoFindings();

  /** The class with the selected methods. */
  @SuppressWarnings("unused")
  abstract static class Shop {
    int place(int id) {
      return id;
    }

    void cancel(int id) {}

    abstract void ship();
  }

  /** A class with a method of the same name. */
  @SuppressWarnings("unused")
  static class Other {
    void cancel() {}
  }

  private Catalog catalog;

  @Before
  public void open() throws Exception {
    PublishedClass.loadNative();
    catalog =
        new Catalog(
            Selectors.NONE, "0.0.0", null, 3, 0, new ApplicationCalls(), () -> new Class<?>[0]);
    catalog.open();
  }

  private Selection select(String selectors) throws Exception {
    return select(selectors.isEmpty() ? Selectors.NONE : Selectors.parse(selectors));
  }

  private Selection select(Selectors next) throws Exception {
    ReadClasses shown = new ReadClasses();
    for (Class<?> type : List.of(Shop.class, Other.class)) {
      shown.add(
          LOADER,
          type.getName().replace('.', '/'),
          false,
          PublishedClass.classFile(type.getName()));
    }
    return catalog.select(next, shown, next.each(), NO_FINDINGS);
  }

  private List<String> names(String internalName) {
    TracedClass traced = catalog.find(LOADER, internalName);
    return traced.methods().stream().map(method -> method.name).collect(Collectors.toList());
  }

  private TracedMethod method(String name) {
    return catalog.find(LOADER, SHOP).methods().stream()
        .filter(method -> method.name.equals(name))
        .findFirst()
        .orElseThrow();
  }

  @Test
  public void aMethodSelectedLaterGetsItsProbesAtOnce() throws Exception {
    assertEquals(1, select("**Shop#place").added);
    Selection more = select("**Shop#cancel;**Shop#place");
    assertEquals(1, more.added);
    assertEquals(List.of("place", "cancel"), names(SHOP));
    assertEquals("1:0", method("place").id());
    assertEquals("2:0", method("cancel").id());
  }

  @Test
  public void aMethodWithTheSameCapturesKeepsItsProbes() throws Exception {
    select("**Shop#place");
    TracedMethod before = method("place");
    Selection done = select("**#pl*;**Shop#place");
    assertSame(before, method("place"));
    assertEquals(0, done.added);
    assertEquals("the newer selector decides", "**#pl*", before.selector().toString());
  }

  @Test
  public void otherCapturesMakeOtherProbes() throws Exception {
    select("**Shop#place");
    TracedMethod before = method("place");
    Selection done = select("**Shop#place when arg0 > 5;**Shop#place");
    assertNotSame(before, method("place"));
    assertTrue(before.isRetired());
    assertEquals(List.of(before), methods(done.removed));
    assertEquals(List.of("place"), names(SHOP));
  }

  private static List<TracedMethod> methods(List<Map.Entry<TracedClass, TracedMethod>> entries) {
    return entries.stream().map(Map.Entry::getValue).collect(Collectors.toList());
  }

  @Test
  public void aMethodSelectedAgainGetsItsOldProbes() throws Exception {
    select("**Shop#place when duration > 1ms");
    TracedMethod place = method("place");
    place.setGateWord(Gate.LEAST_DURATION, 7);
    long stub = place.gateWord(Gate.stub(ProbeKind.RETURN));
    assertEquals(List.of(place), methods(select("").removed));
    assertTrue(place.isRetired());
    assertEquals(List.of(), names(SHOP));
    assertEquals(1, select("**Shop#place when duration > 1ms").added);
    assertSame(place, method("place"));
    assertEquals(stub, place.gateWord(Gate.stub(ProbeKind.RETURN)));
    assertEquals(
        "the gate is the selector's again", 1_000_001, place.gateWord(Gate.LEAST_DURATION));
  }

  @Test
  public void aWovenMethodIsRestoredWhenItIsUnselected() throws Exception {
    select("**Shop#*e*");
    TracedClass shop = catalog.find(LOADER, SHOP);
    shop.arm(shop.all());
    select("");
    assertEquals(Set.of(shop), catalog.poll());
    assertTrue(shop.wanted().isEmpty());
  }

  @Test
  public void addingAnExclusionRetiresProbesAndRemovingItRevivesThem() throws Exception {
    select("**#cancel");
    assertEquals(List.of("cancel"), names(OTHER));
    select("!**Other#*;**#cancel");
    assertEquals(List.of(), names(OTHER));
    assertEquals(List.of("cancel"), names(SHOP));
    select("**#cancel");
    assertEquals(List.of("cancel"), names(OTHER));
  }

  @Test
  public void tooManyChangeNothing() throws Exception {
    select("**Shop#place");
    Selection refused = select("**#*");
    assertTrue(refused.refusal, refused.refusal.contains("more than max-methods=3 allows"));
    assertEquals(List.of("place"), names(SHOP));
    assertTrue(catalog.maySelect(Shop.class.getName(), false));
    assertEquals("", catalog.refusal());
  }

  @Test
  public void aSelectionAfterARefusalEndsIt() throws Exception {
    select("**Shop#place");
    catalog.announce(Selectors.NONE);
    List<String> refusals = new ArrayList<>();
    Catalog.Listener listener =
        new PublishedClass.NoFindings() {
          @Override
          public void disabled(String reason) {
            refusals.add(reason);
          }
        };
    Selectors all = Selectors.parse("**#*");
    catalog.select(all, new ReadClasses(), List.of(), NO_FINDINGS);
    String name = SelectionTest.class.getName();
    catalog.enqueue(LOADER, name.replace('.', '/'), false, PublishedClass.classFile(name));
    while (refusals.isEmpty()) {
      catalog.publishDue(listener);
      Thread.sleep(10);
    }
    assertEquals(refusals.get(0), catalog.refusal());
    assertEquals(List.of(), names(SHOP));
    assertEquals("", select("**Shop#place").refusal);
    assertEquals("", catalog.refusal());
    assertEquals(List.of("place"), names(SHOP));
  }

  @Test
  public void untraceableMethodsAreReturnedEachTime() throws Exception {
    for (String selectors : List.of("**Shop#ship", "**Shop#shi*")) {
      Selectors next = Selectors.parse(selectors);
      Matches matches = select(next).matches;
      assertEquals("it is abstract", matches.failed(next.each().get(0)).get(0).reason);
    }
  }

  @Test
  public void aSelectorThatCanTraceNothingChangesNothing() throws Exception {
    select("**Shop#place");
    String shop = Shop.class.getName();
    assertEquals(
        "'"
            + shop
            + "#ship' matches 1 method, which cannot be traced; "
            + shop
            + "#ship(): it is abstract; write '+"
            + shop
            + "#ship' for the methods that implement it",
        select("**Shop#cancel;" + shop + "#ship").refusal);
    String wrong = select("**Shop#cancel;**Shop#place(it=arg0.nope)").refusal;
    assertTrue(wrong, wrong.contains("place(int): column 22: int has no 'nope'"));
    assertEquals(List.of("place"), names(SHOP));
  }

  @Test
  public void selectorsForTheSameMethodAreCounted() throws Exception {
    Selectors next = Selectors.parse("**Shop#*;**Shop#place");
    Matches matches = select(next).matches;
    Selector first = next.each().get(0);
    Selector second = next.each().get(1);
    assertEquals(1, matches.overridden(second));
    assertSame(first, matches.overriddenBy(second));
    assertEquals(0, matches.overridden(first));
  }

  @Test
  public void methodsAreFoundByTheirId() throws Exception {
    select("**Shop#place");
    assertSame(method("place"), catalog.findMethod("1:0").getValue());
    for (String wrong : List.of("", ":", "1", "1:", "1:1", "2:0", "1:-1", "x:0", "99999999999:0")) {
      assertEquals(wrong, null, catalog.findMethod(wrong));
    }
    TracedMethod place = method("place");
    select("");
    assertEquals("retired", null, catalog.findMethod("1:0"));
    select("**Shop#place every 2");
    assertNotEquals(place.id(), method("place").id());
  }
}
