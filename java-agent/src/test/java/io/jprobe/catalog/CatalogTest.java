// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.CapturedValue;
import io.jprobe.capture.ProbeKind;
import io.jprobe.capture.ValueType;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.Test;

public class CatalogTest {
  private static final ClassLoader LOADER = CatalogTest.class.getClassLoader();
  private static final String SAMPLE = Sample.class.getName().replace('.', '/');
  private static final Catalog.Listener NO_FINDINGS = new PublishedClass.NoFindings();

  /** The class that is read. */
  @SuppressWarnings("unused")
  abstract static class Sample {
    long place(int id, String city, double[] prices) {
      long local = id;
      return local;
    }

    abstract void hidden();

    native void foreign();

    static void many(
        int a,
        long b,
        int c,
        long d,
        int e,
        long f,
        int g,
        long h,
        int i,
        long j,
        int k,
        long l,
        int m) {}
  }

  private static TracedMethod method(TracedClass traced, String name) {
    return traced.methods().stream().filter(m -> m.name.equals(name)).findFirst().orElseThrow();
  }

  private static TracedClass enqueue(
      Catalog catalog, String internalName, byte[] classFile, Catalog.Listener listener)
      throws Exception {
    return PublishedClass.enqueue(catalog, LOADER, internalName, classFile, listener);
  }

  private static List<CapturedValue> arguments(TracedMethod method) {
    return method.captures.values(ProbeKind.ENTRY);
  }

  private static TracedClass published() throws Exception {
    String name = Sample.class.getName();
    return PublishedClass.publish(name, PublishedClass.classFile(name));
  }

  @Test
  public void methodsWithoutCodeHaveNoProbes() throws Exception {
    List<String> names =
        published().methods().stream().map(method -> method.name).collect(Collectors.toList());
    assertEquals(List.of("<init>", "place", "many"), names);
  }

  @Test
  public void argumentsHaveTheirNamesAndTypes() throws Exception {
    TracedMethod place = method(published(), "place");
    assertEquals(
        List.of("id", "city", "prices"),
        arguments(place).stream().map(value -> value.name).collect(Collectors.toList()));
    assertEquals(
        List.of(ValueType.INT, ValueType.STRING, ValueType.REFERENCE),
        arguments(place).stream().map(value -> value.type).collect(Collectors.toList()));
    assertEquals("double[]", arguments(place).get(2).javaType.getClassName());
    assertEquals(ValueType.LONG, place.captures.values(ProbeKind.RETURN).get(0).type);
  }

  @Test
  public void atMostAsManyArgumentsAreCapturedAsAProbeCanPass() throws Exception {
    TracedMethod many = method(published(), "many");
    assertEquals(12, arguments(many).size());
    assertEquals("l", arguments(many).get(11).name);
    assertTrue(many.captures.values(ProbeKind.RETURN).isEmpty());
  }

  @Test
  public void eachProbeHasItsOwnStub() throws Exception {
    TracedClass traced = published();
    long first = stub(traced.methods().get(0), ProbeKind.ENTRY);
    assertEquals(0, first % 32);
    assertEquals(first + 32, stub(traced.methods().get(0), ProbeKind.RETURN));
    assertEquals(first + 5 * 32, stub(traced.methods().get(1), ProbeKind.THROW));
  }

  private static long stub(TracedMethod method, ProbeKind kind) {
    return method.gateWord(Gate.stub(kind));
  }

  @Test
  public void classesOfDifferentLoadersAreDifferent() {
    assertEquals(new ClassKey(LOADER, "A"), new ClassKey(LOADER, "A"));
    assertEquals(new ClassKey(null, "A"), new ClassKey(null, "A"));
    assertNotEquals(new ClassKey(null, "A"), new ClassKey(LOADER, "A"));
    assertNotEquals(new ClassKey(LOADER, "A"), new ClassKey(LOADER, "B"));
  }

  @Test
  public void aClassThatIsQueuedTwiceIsPublishedOnce() throws Exception {
    byte[] bytes = PublishedClass.classFile(Sample.class.getName());
    Catalog catalog = PublishedClass.catalog("**#place");
    catalog.enqueue(LOADER, SAMPLE, false, bytes);
    TracedClass published = enqueue(catalog, SAMPLE, bytes, NO_FINDINGS);
    catalog.publishDue(NO_FINDINGS);
    assertSame(published, catalog.find(LOADER, SAMPLE));
    assertEquals(1, published.methods().size());
  }

  @Test
  public void selectorsWithoutAMethodAreReported() throws Exception {
    Catalog catalog = PublishedClass.catalog("**Sample#place;**Sample#plaice;!**#x");
    assertEquals(2, catalog.unmatched().size());
    byte[] bytes = PublishedClass.classFile(Sample.class.getName());
    catalog.enqueue(LOADER, SAMPLE, false, bytes);
    assertTrue("nothing is said while classes wait", catalog.unmatched().isEmpty());
    enqueue(catalog, SAMPLE, bytes, NO_FINDINGS);
    assertEquals("[**Sample#plaice]", catalog.unmatched().toString());
  }

  @Test
  public void anUnreadableClassFileDoesNotAffectOthers() throws Exception {
    Catalog catalog = PublishedClass.catalog("**#place");
    List<String> unreadable = new ArrayList<>();
    byte[] fromTheFuture = PublishedClass.classFile(Sample.class.getName());
    fromTheFuture[6] = 1;
    catalog.enqueue(LOADER, "Future", false, fromTheFuture);
    Catalog.Listener listener =
        new PublishedClass.NoFindings() {
          @Override
          public void unreadable(String className, Throwable problem) {
            unreadable.add(className);
          }
        };
    TracedClass sample =
        enqueue(catalog, SAMPLE, PublishedClass.classFile(Sample.class.getName()), listener);
    assertEquals(List.of("Future"), unreadable);
    assertEquals(1, sample.methods().size());
    assertTrue(catalog.find(LOADER, "Future").methods().isEmpty());
  }

  @Test
  public void beyondTheLimitNothingIsTraced() throws Exception {
    Catalog catalog = PublishedClass.catalog("**#*", null, 4);
    List<String> refusals = new ArrayList<>();
    Catalog.Listener listener =
        new PublishedClass.NoFindings() {
          @Override
          public void disabled(String reason) {
            refusals.add(reason);
          }
        };
    byte[] bytes = PublishedClass.classFile(Sample.class.getName());
    TracedClass sample = enqueue(catalog, SAMPLE, bytes, listener);
    sample.arm(sample.all());
    byte[] more = PublishedClass.classFile(CatalogTest.class.getName());
    catalog.enqueue(LOADER, "io/jprobe/catalog/CatalogTest", false, more);
    while (refusals.isEmpty()) {
      catalog.publishDue(listener);
      Thread.sleep(10);
    }
    assertTrue(refusals.get(0), refusals.get(0).contains("more than max-methods=4 allows"));
    assertEquals("woven classes have to be restored", Set.of(sample), catalog.poll());
    assertTrue(sample.wanted().isEmpty());
    assertEquals(Set.of(), catalog.poll());
  }

  @Test
  public void aClassThatIsQueuedAgainWhileItIsReadGetsItsProbesOnce() throws Exception {
    Catalog catalog = PublishedClass.catalog("**Sample#place");
    byte[] bytes = PublishedClass.classFile(Sample.class.getName());
    TracedClass first = enqueue(catalog, SAMPLE, bytes, NO_FINDINGS);
    catalog.enqueue(LOADER, SAMPLE, false, bytes);
    // A class queued after it is published with it or later.
    String other = Other.class.getName().replace('.', '/');
    enqueue(catalog, other, PublishedClass.classFile(Other.class.getName()), NO_FINDINGS);
    assertSame(first, catalog.find(LOADER, SAMPLE));
  }

  /** A class without selected methods. */
  static class Other {}

  @Test
  public void methodsOfUnloadedClassesDoNotCountTowardMaxMethods() throws Exception {
    Catalog catalog = PublishedClass.catalog("**#place", null, 1);
    byte[] bytes = PublishedClass.classFile(Sample.class.getName());
    for (int i = 0; i < 3; i++) {
      ClassLoader loader = new ClassLoader(null) {};
      WeakReference<ClassLoader> reference = new WeakReference<>(loader);
      PublishedClass.enqueue(catalog, loader, SAMPLE, bytes, NO_FINDINGS);
      loader = null;
      while (reference.get() != null) {
        System.gc();
        Thread.sleep(10);
      }
      catalog.dropUnloaded();
    }
  }

  @Test
  public void numbersOfAConditionAreInTheGate() throws Exception {
    TracedMethod place =
        method(
            PublishedClass.publish(
                Sample.class.getName(),
                PublishedClass.classFile(Sample.class.getName()),
                "**Sample#place when duration > 5ms every 100 at most 50/s"),
            "place");
    assertEquals(5_000_001, place.captures.leastDuration);
    assertEquals(100, place.captures.every);
    assertEquals(50, place.captures.perSecond);
    assertTrue("this condition needs no code", place.captures.isPlain);
    assertEquals(List.of(ProbeKind.RETURN, ProbeKind.THROW), place.kinds());
  }
}
