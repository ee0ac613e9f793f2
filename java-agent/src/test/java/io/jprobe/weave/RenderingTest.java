// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.jprobe.Fire;
import java.lang.reflect.Field;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import java.util.Vector;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.BeforeClass;
import org.junit.Test;

/** What captured objects look like, and that none of the application's code runs for it. */
public class RenderingTest {
  private static final int LIMIT = 128;

  enum State {
    PAID,
    OPEN {
      @Override
      public String toString() {
        throw new AssertionError("called");
      }
    }
  }

  /** All methods that a careless reader would call fail. */
  static class Trap {
    @Override
    public String toString() {
      throw new AssertionError("called");
    }

    @Override
    public int hashCode() {
      throw new AssertionError("called");
    }

    @Override
    public boolean equals(Object other) {
      throw new AssertionError("called");
    }
  }

  static class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;

    Failure(String message) {
      super(message);
    }

    @Override
    public String getMessage() {
      throw new AssertionError("called");
    }
  }

  static class OwnList extends ArrayList<String> {
    private static final long serialVersionUID = 1;

    @Override
    public int size() {
      throw new AssertionError("called");
    }
  }

  static class OwnText extends Trap implements CharSequence {
    @Override
    public int length() {
      throw new AssertionError("called");
    }

    @Override
    public char charAt(int index) {
      throw new AssertionError("called");
    }

    @Override
    public CharSequence subSequence(int start, int end) {
      throw new AssertionError("called");
    }
  }

  @BeforeClass
  public static void bindFire() throws Exception {
    Woven.bindFire();
    Fire.prepareObjects();
  }

  /** Returns the text of an object, with "…" if it was truncated. */
  private static String rendered(Object object) {
    long address = Fire.object(object, 3);
    if (address == 0) {
      return null;
    }
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (long at = address; Fire.fieldByte(null, at) != 0; at++) {
      bytes.write(Fire.fieldByte(null, at));
    }
    assertTrue(bytes.size() <= LIMIT);
    String text = new String(bytes.toByteArray(), StandardCharsets.UTF_8);
    return address % 2 == 0 ? text : text + "…";
  }

  private static String identity(Object object) {
    return object.getClass().getName() + "@" + Integer.toHexString(System.identityHashCode(object));
  }

  private static void assertIdentity(Object object) {
    assertEquals(identity(object), rendered(object));
  }

  // ---- single values ----

  @Test
  public void numbersAreTheirDigits() {
    Object[] numbers = {
      0,
      42,
      -70_000,
      Integer.MIN_VALUE,
      Integer.MAX_VALUE,
      Long.MIN_VALUE,
      Long.MAX_VALUE,
      (short) -1,
      (byte) -128,
      1.5f,
      -0.0,
      Double.NaN,
      Float.NEGATIVE_INFINITY,
      1e300,
      new AtomicInteger(7),
      new AtomicLong(-8),
      true,
      false,
      new AtomicBoolean(true),
      new BigInteger("-123456789012345678901234567890"),
      new BigDecimal("1.10"),
      new BigDecimal("1E+400"),
      BigDecimal.ZERO
    };
    for (Object number : numbers) {
      assertEquals(number.toString(), rendered(number));
    }
    assertIdentity(BigInteger.ONE.shiftLeft(100_000));
    assertIdentity(new BigDecimal(BigInteger.ONE.shiftLeft(100_000)));
  }

  @Test
  public void textIsInQuotes() {
    assertEquals("\"a \"b\" ž€😀\"", rendered("a \"b\" ž€😀"));
    assertEquals("\"\"", rendered(""));
    assertEquals("\"\ufffd\"", rendered("\ud83d"));
    assertEquals("\"ab\"", rendered(new StringBuilder("ab")));
    assertEquals("\"až😀\"", rendered(new StringBuffer("až😀")));
    assertEquals("\"xy\"", rendered(new char[] {'x', 'y'}));
    assertEquals("'ž'", rendered('ž'));
  }

  @Test
  public void enumsAreTheirNames() {
    assertEquals("PAID", rendered(State.PAID));
    assertEquals("OPEN", rendered(State.OPEN));
  }

  @Test
  public void valuesOfTheJdkAreTheirText() throws Exception {
    Object[] values = {
      UUID.fromString("0123abcd-0000-4000-8000-00000000000f"),
      Duration.ofMillis(1500),
      LocalDate.of(2024, 2, 29),
      ZonedDateTime.of(2024, 2, 29, 1, 2, 3, 4, ZoneId.of("Europe/Riga")),
      ZoneId.of("Europe/Riga"),
      ZoneId.of("Z"),
      new File("/a/ž"),
      Path.of("/a/b"),
      URI.create("http://a/b?c#d"),
      new URL("http://u@a:80/b?c#d"),
      new URL("file:/a/b"),
      Optional.empty(),
      Optional.of(5),
      OptionalInt.of(6),
      OptionalLong.of(7),
      OptionalDouble.of(0.5),
    };
    for (Object value : values) {
      assertEquals(value.toString(), rendered(value));
    }
    assertEquals("OptionalInt.empty", rendered(OptionalInt.empty()));
    assertEquals("AtomicReference[\"x\"]", rendered(new AtomicReference<>("x")));
    assertEquals("2001-09-09T01:46:40.005Z", rendered(Instant.ofEpochMilli(1_000_000_000_005L)));
    assertEquals("1969-12-31T23:59:59.999Z", rendered(new Date(-1)));
    assertIdentity(Instant.MAX);
    assertEquals("java.lang.String", rendered(String.class));
    assertEquals("[I", rendered(int[].class));
  }

  @Test
  public void threadsAndExceptionsShowTheirFieldsAndNotTheirMethods() {
    Thread thread =
        new Thread("worker, 1") {
          @Override
          public long getId() {
            throw new AssertionError("called");
          }

          @Override
          public String toString() {
            throw new AssertionError("called");
          }
        };
    assertTrue(rendered(thread), rendered(thread).matches("Thread\\[#\\d+,worker, 1\\]"));
    assertEquals(Failure.class.getName() + ": no", rendered(new Failure("no")));
    assertEquals(Failure.class.getName(), rendered(new Failure(null)));
  }

  @Test
  public void everythingElseIsItsClassAndIdentity() throws Exception {
    assertEquals(null, rendered(null));
    assertIdentity(new Trap());
    assertIdentity(new Object());
    assertIdentity(new OwnText());
    assertIdentity(new OwnList());
    Runnable lambda = () -> {};
    assertIdentity(lambda);
    assertIdentity(
        Proxy.newProxyInstance(
            getClass().getClassLoader(),
            new Class<?>[] {Map.class, Runnable.class},
            (proxy, method, arguments) -> {
              throw new AssertionError("called");
            }));
    URLStreamHandler handler =
        new URLStreamHandler() {
          @Override
          protected URLConnection openConnection(URL url) {
            throw new AssertionError("called");
          }

          @Override
          protected String toExternalForm(URL url) {
            throw new AssertionError("called");
          }
        };
    assertEquals("own://a/b", rendered(new URL(null, "own://a/b", handler)));
  }

  // ---- elements ----

  @Test
  public void arraysAndListsShowTheirElements() {
    List<Object> elements = Arrays.asList(1, "a\"b\\", null, State.PAID);
    String text = "[1, \"a\\\"b\\\\\", null, PAID]";
    assertEquals(text, rendered(elements));
    assertEquals(text, rendered(elements.toArray()));
    List<List<Object>> lists =
        List.of(
            new ArrayList<>(elements),
            new Vector<>(elements),
            new LinkedList<>(elements),
            new CopyOnWriteArrayList<>(elements),
            new ArrayList<Object>(Arrays.asList(0, 1, "a\"b\\", null, State.PAID, 5)).subList(1, 5),
            Collections.unmodifiableList(new ArrayList<>(elements)),
            Collections.synchronizedList(Collections.unmodifiableList(elements)));
    for (List<Object> list : lists) {
      assertEquals(list.getClass().getName(), text, rendered(list));
    }
    ArrayDeque<Integer> deque = new ArrayDeque<>(List.of(9, 1, 2));
    deque.remove();
    deque.addFirst(0);
    assertEquals("[0, 1, 2]", rendered(deque));
    assertEquals("[]", rendered(List.of()));
    assertEquals("[1]", rendered(List.of(1)));
    assertEquals("[1, 2]", rendered(List.of(1, 2)));
    assertEquals("[1, 2, 3]", rendered(List.of(1, 2, 3)));
    assertEquals("[]", rendered(Collections.emptyList()));
    assertEquals("[null]", rendered(Collections.singletonList(null)));
    assertEquals("[1, -2]", rendered(new int[] {1, -2}));
    assertEquals("[1, -2]", rendered(new long[] {1, -2}));
    assertEquals("[1, -2]", rendered(new short[] {1, -2}));
    assertEquals("[1.5, -2.0]", rendered(new double[] {1.5, -2}));
    assertEquals("[1.5, -2.0]", rendered(new float[] {1.5f, -2}));
    assertEquals("[true, false]", rendered(new boolean[] {true, false}));
    assertEquals("0x00ff7f", rendered(new byte[] {0, -1, 127}));
    assertEquals("[]", rendered(new String[0]));
  }

  @Test
  public void setsAndMapsShowTheirElements() {
    assertEquals("[1]", rendered(Set.of(1)));
    // Their order differs from run to run.
    assertEquals(Set.of("1", "2", "3"), parts(rendered(Set.of(1, 2, 3))));
    assertEquals("[1, 2]", rendered(new HashSet<>(List.of(1, 2))));
    assertEquals("[1, 2]", rendered(new TreeSet<>(List.of(2, 1))));
    assertEquals("[PAID, OPEN]", rendered(EnumSet.allOf(State.class)));
    assertEquals("{\"a\"=1}", rendered(Map.of("a", 1)));
    Map<Integer, Integer> numbers = Map.of(1, 2, 3, 4, 5, 6);
    assertEquals(Set.of("1=2", "3=4", "5=6"), parts(rendered(numbers)));
    Map<Integer, Integer> expected = new TreeMap<>(numbers);
    List<Map<Integer, Integer>> maps =
        List.of(
            expected,
            new HashMap<>(numbers),
            new LinkedHashMap<>(expected),
            new ConcurrentHashMap<>(numbers),
            Collections.unmodifiableMap(expected),
            Collections.synchronizedMap(Collections.unmodifiableMap(expected)));
    for (Map<Integer, Integer> map : maps) {
      assertEquals(map.getClass().getName(), "{1=2, 3=4, 5=6}", rendered(map));
    }
    assertEquals("1=2", rendered(expected.entrySet().iterator().next()));
    Map<State, Object> states = new EnumMap<>(State.class);
    states.put(State.OPEN, null);
    assertEquals("{OPEN=null}", rendered(states));
    Properties properties = new Properties();
    properties.put("k", "v");
    assertEquals("{\"k\"=\"v\"}", rendered(properties));
    assertEquals("{}", rendered(Collections.emptyMap()));
    assertEquals("{}", rendered(new HashMap<>()));
  }

  private static Set<String> parts(String text) {
    return Set.of(text.substring(1, text.length() - 1).split(", "));
  }

  @Test
  public void elementsAreOneLevelDeepAndOfSafeClassesOnly() {
    Trap trap = new Trap();
    assertEquals("Optional[" + identity(trap) + "]", rendered(Optional.of(trap)));
    assertEquals("[" + identity(trap) + ", 1]", rendered(Arrays.asList(trap, 1)));
    List<Object> itself = new ArrayList<>();
    itself.add(itself);
    assertEquals("[" + identity(itself) + "]", rendered(itself));
    AtomicReference<Object> reference = new AtomicReference<>();
    reference.set(reference);
    assertEquals("AtomicReference[" + identity(reference) + "]", rendered(reference));
    assertEquals(
        "Optional[" + identity(Optional.empty()) + "]", rendered(Optional.of(Optional.empty())));
    assertIdentity(Collections.unmodifiableList(new OwnList()));
    List<Object> wrapped = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      wrapped = Collections.synchronizedList(wrapped);
    }
    assertIdentity(wrapped);
  }

  @Test
  public void manyElementsAreCountedAndLongTextIsTruncated() {
    List<Integer> thousand = new ArrayList<>(Collections.nCopies(1_000, 5));
    assertEquals("[5, 5, 5, 5, 5, 5, 5, 5, 5, 5, … 990 more]", rendered(thousand));
    Map<Integer, Integer> many = new HashMap<>();
    for (int i = 0; i < 1_000_000; i++) {
      many.put(i, i);
    }
    String text = rendered(many);
    assertTrue(text, text.startsWith("{0=0, 1=1, ") && text.endsWith(", … 999990 more}"));
    many.keySet().removeIf(key -> key != 999_999);
    assertEquals("{}", rendered(many));
    assertEquals("0x" + "00".repeat(32) + ", … 9 more", rendered(new byte[41]));
    assertEquals("\"" + "x".repeat(LIMIT - 1) + "…", rendered("x".repeat(LIMIT - 1)));
    assertEquals("\"" + "x".repeat(LIMIT - 2) + "\"", rendered("x".repeat(LIMIT - 2)));
    // A character that does not fit is left out as a whole.
    assertEquals("\"" + "x".repeat(LIMIT - 3) + "…", rendered("x".repeat(LIMIT - 3) + "€"));
    List<String> strings = Collections.nCopies(1, "y".repeat(1_000));
    assertEquals("[\"" + "y".repeat(LIMIT - 2) + "…", rendered(new ArrayList<>(strings)));
  }

  @Test(timeout = 60_000)
  public void collectionsMayChangeMeanwhile() throws Exception {
    List<Integer> list = new ArrayList<>();
    Map<Integer, Integer> hashed = new HashMap<>();
    Map<Integer, Integer> linked = new LinkedHashMap<>();
    Map<Integer, Integer> sorted = new TreeMap<>();
    Map<Integer, Integer> concurrent = new ConcurrentHashMap<>();
    ArrayDeque<Integer> deque = new ArrayDeque<>();
    LinkedList<Integer> links = new LinkedList<>();
    StringBuilder builder = new StringBuilder();
    AtomicBoolean stop = new AtomicBoolean();
    Thread changes =
        new Thread(
            () -> {
              for (int i = 0; !stop.get(); i++) {
                if (i % 64 == 0) {
                  list.clear();
                  hashed.clear();
                  linked.clear();
                  sorted.clear();
                  concurrent.clear();
                  deque.clear();
                  links.clear();
                  builder.setLength(0);
                  builder.trimToSize();
                }
                list.add(i);
                hashed.put(i * 31, i);
                linked.put(i, i);
                sorted.put(i * 7919 % 101, i);
                concurrent.put(i, i);
                deque.add(i);
                links.add(i);
                builder.append(i % 3 == 0 ? "ž" : "a");
              }
            });
    changes.start();
    try {
      for (int i = 0; i < 20_000; i++) {
        for (Object each :
            new Object[] {list, hashed, linked, sorted, concurrent, deque, links, builder}) {
          assertFalse(rendered(each).isEmpty());
        }
      }
    } finally {
      stop.set(true);
      changes.join();
    }
  }

  @Test
  public void noLockIsTaken() throws Exception {
    List<Integer> list = Collections.synchronizedList(new ArrayList<>(List.of(1)));
    Vector<Integer> vector = new Vector<>(List.of(1));
    StringBuffer buffer = new StringBuffer("b");
    String[] texts = new String[3];
    Thread reader =
        new Thread(
            () -> {
              texts[0] = rendered(list);
              texts[1] = rendered(vector);
              texts[2] = rendered(buffer);
            });
    synchronized (list) {
      synchronized (vector) {
        synchronized (buffer) {
          reader.start();
          reader.join(30_000);
          assertFalse(reader.isAlive());
        }
      }
    }
    assertEquals(List.of("[1]", "[1]", "\"b\""), List.of(texts));
  }

  /** Returns an object whose constructor has not run: mocks are made so, and read too early. */
  private static Object hollow(String type) throws Exception {
    Class<?> unsafe = Class.forName("sun.misc.Unsafe");
    Field only = unsafe.getDeclaredField("theUnsafe");
    only.setAccessible(true);
    return unsafe
        .getMethod("allocateInstance", Class.class)
        .invoke(only.get(null), Class.forName(type));
  }

  @Test
  public void objectsWithoutTheirFieldsDoNoHarm() throws Exception {
    // A read from null by an offset would end the JVM.
    assertEquals("null", rendered(hollow(State.class.getName())));
    assertEquals("[]", rendered(hollow("java.util.ArrayList$SubList")));
    assertEquals("null:", rendered(hollow("java.net.URL")));
    assertEquals("Thread[#0,]", rendered(hollow("java.lang.Thread")));
    for (String name : List.of("String", "StringBuilder", "Error")) {
      assertTrue(rendered(hollow("java.lang." + name)).startsWith("java.lang." + name.charAt(0)));
    }
    assertEquals("[null]", rendered(new Object[] {hollow(State.class.getName())}));
    assertEquals(null, Fire.element(hollow("java.util.ArrayList$SubList"), 0));
    assertEquals(null, Fire.get(hollow("java.util.HashMap"), "x"));
  }

  // ---- elements of paths ----

  @Test
  public void pathsFindElementsByIndexAndKey() {
    assertEquals(2, Fire.element(List.of(1, 2), 1));
    assertEquals(3, Fire.element(new ArrayList<>(List.of(1, 2, 3)), 2));
    assertEquals(3, Fire.element(Collections.unmodifiableList(Arrays.asList(1, 2, 3)), 2));
    assertEquals(3, Fire.element(new LinkedList<>(List.of(1, 2, 3)), 2));
    assertEquals("b", Fire.element(new String[] {"a", "b"}, 1));
    assertEquals(2, Fire.element(new ArrayList<>(List.of(0, 1, 2, 3)).subList(1, 3), 1));
    for (Object missing :
        new Object[] {null, List.of(1), new ArrayList<>(), new OwnList(), "ab", new int[3]}) {
      assertEquals(null, Fire.element(missing, 1));
    }
    assertEquals(null, Fire.element(new ArrayList<>(List.of(0, 1, 2, 3)).subList(1, 3), 2));
    Map<Object, Object> values = new HashMap<>();
    for (int i = -300; i < 300; i++) {
      values.put(i, "int " + i);
      values.put(i * (1L << 33) + 5_000, "long " + i);
      values.put("key " + i, "text " + i);
    }
    values.put(new Object(), 0);
    List<Map<Object, Object>> maps =
        List.of(values, new LinkedHashMap<>(values), new ConcurrentHashMap<>(values));
    for (Map<Object, Object> map : maps) {
      Object wrapped = Collections.unmodifiableMap(map);
      for (int i = -300; i < 300; i++) {
        assertEquals("text " + i, Fire.get(wrapped, "key " + i));
        assertEquals("int " + i, Fire.get(map, (long) i));
        assertEquals("long " + i, Fire.get(map, i * (1L << 33) + 5_000));
      }
      assertEquals(null, Fire.get(map, "no"));
      assertEquals(null, Fire.get(map, 1_000_000));
    }
    assertEquals("x", Fire.get(new HashMap<>(Map.of(-7L, "x")), -7));
    assertEquals("v", Fire.get(Map.of("k", "v"), "k"));
    assertEquals("v", Fire.get(Map.of("k", "v", "l", "w"), "k"));
    Map<String, Integer> sorted = new TreeMap<>(Map.of("a", 1, "b", 2, "c", 3));
    assertEquals(3, Fire.get(sorted, "c"));
    assertEquals(null, Fire.get(new TreeMap<>(Map.of(1, 2)), "c"));
    assertEquals(2, Fire.get(new TreeMap<>(Map.of(1, 2)), 1));
    assertEquals(5, Fire.get(new EnumMap<>(Map.of(State.OPEN, 5)), "OPEN"));
    assertEquals(5, Fire.get(new HashMap<>(Map.of("x", 5)), "x"));
    assertEquals(2, Fire.get(List.of(1, 2), 1));
    assertEquals(null, Fire.get(new Trap(), "x"));
    Map<Object, Object> trapped = new HashMap<>();
    assertEquals(null, Fire.get(trapped, "x"));
  }
}
