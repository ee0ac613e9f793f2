// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import io.jprobe.select.Selectors;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.Test;

public class CatalogTest {
  private static final ClassLoader LOADER = CatalogTest.class.getClassLoader();

  /** What is described. */
  @SuppressWarnings("unused")
  abstract static class Sample {
    long place(int id, String city, double[] prices) {
      long local = id;
      return local;
    }

    abstract void hidden();

    native void foreign();

    static void many(
        int a, long b, int c, long d, int e, long f, int g, long h, int i, long j, int k, long l) {}
  }

  private static TracedMethod method(TracedClass traced, String name) {
    return traced.methods.stream().filter(m -> m.name.equals(name)).findFirst().orElseThrow();
  }

  private static TracedClass published() throws Exception {
    String name = Sample.class.getName();
    return PublishedClass.publish(name, PublishedClass.classFile(name));
  }

  @Test
  public void methodsWithoutCodeHaveNoProbes() throws Exception {
    List<String> names =
        published().methods.stream().map(method -> method.name).collect(Collectors.toList());
    assertEquals(List.of("<init>", "place", "many"), names);
  }

  @Test
  public void argumentsHaveTheirNamesAndTypes() throws Exception {
    TracedMethod place = method(published(), "place");
    assertEquals(
        List.of("id", "city", "prices"),
        place.arguments.stream().map(value -> value.name).collect(Collectors.toList()));
    assertEquals(
        List.of(ValueType.INT, ValueType.STRING, ValueType.REFERENCE),
        place.arguments.stream().map(value -> value.type).collect(Collectors.toList()));
    assertEquals("double[]", place.arguments.get(2).javaType.getClassName());
    assertEquals(ValueType.LONG, place.returned.type);
  }

  @Test
  public void noMoreArgumentsAreCapturedThanAProbeCanPass() throws Exception {
    TracedMethod many = method(published(), "many");
    assertEquals(11, many.arguments.size());
    assertEquals("k", many.arguments.get(10).name);
    assertNull(many.returned);
  }

  @Test
  public void eachProbeHasAStubOfItsOwn() throws Exception {
    TracedClass traced = published();
    long first = traced.stub(traced.methods.get(0), ProbeKind.ENTRY);
    assertEquals(0, first % 32);
    assertEquals(first + 32, traced.stub(traced.methods.get(0), ProbeKind.RETURN));
    assertEquals(first + 5 * 32, traced.stub(traced.methods.get(1), ProbeKind.THROW));
  }

  @Test
  public void aClassOfAnotherLoaderIsAnotherClass() {
    assertEquals(new ClassKey(LOADER, "A"), new ClassKey(LOADER, "A"));
    assertEquals(new ClassKey(null, "A"), new ClassKey(null, "A"));
    assertNotEquals(new ClassKey(null, "A"), new ClassKey(LOADER, "A"));
    assertNotEquals(new ClassKey(LOADER, "A"), new ClassKey(LOADER, "B"));
  }

  @Test
  public void aClassIsPublishedOnceHoweverOftenItIsOffered() throws Exception {
    PublishedClass.loadNative();
    byte[] bytes = PublishedClass.classFile(Sample.class.getName());
    Catalog catalog = new Catalog(Selectors.parse("**#place"), "0.0.0", null);
    catalog.open();
    catalog.offer(LOADER, "A", bytes);
    catalog.offer(LOADER, "A", bytes);
    while (catalog.find(LOADER, "A") == null) {
      catalog.publishDue(PublishedClass::fail);
      Thread.sleep(10);
    }
    TracedClass published = catalog.find(LOADER, "A");
    catalog.publishDue(PublishedClass::fail);
    assertSame(published, catalog.find(LOADER, "A"));
    assertEquals(1, published.methods.size());
  }

  @Test
  public void selectorsWithoutAMethodAreKnown() throws Exception {
    PublishedClass.loadNative();
    Catalog catalog = new Catalog(Selectors.parse("A#place;A#plaice"), "0.0.0", null);
    catalog.open();
    assertEquals(2, catalog.unmatched().size());
    catalog.offer(LOADER, "A", PublishedClass.classFile(Sample.class.getName()));
    assertTrue("nothing is said while classes wait", catalog.unmatched().isEmpty());
    while (catalog.find(LOADER, "A") == null) {
      catalog.publishDue(PublishedClass::fail);
      Thread.sleep(10);
    }
    assertEquals("[A#plaice]", catalog.unmatched().toString());
  }

  @Test
  public void aClassFileThatCannotBeReadHarmsNoOther() throws Exception {
    PublishedClass.loadNative();
    Catalog catalog = new Catalog(Selectors.parse("**#place"), "0.0.0", null);
    catalog.open();
    List<String> unreadable = new ArrayList<>();
    byte[] fromTheFuture = PublishedClass.classFile(Sample.class.getName());
    fromTheFuture[6] = 1;
    catalog.offer(LOADER, "Future", fromTheFuture);
    catalog.offer(LOADER, "A", PublishedClass.classFile(Sample.class.getName()));
    while (catalog.find(LOADER, "A") == null) {
      catalog.publishDue((name, problem) -> unreadable.add(name));
      Thread.sleep(10);
    }
    assertEquals(List.of("Future"), unreadable);
    assertEquals(1, catalog.find(LOADER, "A").methods.size());
    assertTrue(catalog.find(LOADER, "Future").methods.isEmpty());
  }
}
