// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static io.jprobe.weave.RenderedObjects.LIMIT;
import static io.jprobe.weave.RenderedObjects.assertIdentity;
import static io.jprobe.weave.RenderedObjects.identity;
import static io.jprobe.weave.RenderedObjects.rendered;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.jprobe.weave.RenderedObjects.OwnList;
import io.jprobe.weave.RenderedObjects.State;
import io.jprobe.weave.RenderedObjects.Trap;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Hashtable;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.Properties;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.Vector;
import java.util.WeakHashMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CopyOnWriteArraySet;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.PriorityBlockingQueue;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.BeforeClass;
import org.junit.Test;

/** What captured arrays, collections and maps look like. */
public class RenderedElementsTest {
  @BeforeClass
  public static void bindFire() throws Exception {
    RenderedObjects.bindFire();
  }

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

  @Test
  public void queuesShowTheirElementsInTheOrderOfTheirArraysAndNodes() {
    List<Queue<Integer>> queues =
        List.of(
            new PriorityQueue<>(),
            new PriorityBlockingQueue<>(),
            new ArrayBlockingQueue<>(4),
            new LinkedBlockingQueue<>(),
            new LinkedBlockingDeque<>(),
            new ConcurrentLinkedQueue<>(),
            new ConcurrentLinkedDeque<>());
    for (Queue<Integer> queue : queues) {
      String name = queue.getClass().getName();
      assertEquals(name, "[]", rendered(queue));
      for (int i = 0; i < 6; i++) {
        queue.add(i);
        if (i < 3) {
          queue.remove();
        }
      }
      assertEquals(name, "[3, 4, 5]", rendered(queue));
    }
    Queue<Integer> thousand = new LinkedBlockingQueue<>(Collections.nCopies(1_000, 5));
    assertEquals("[5, 5, 5, 5, 5, 5, 5, 5, 5, 5, … 990 more]", rendered(thousand));
    thousand.addAll(Collections.nCopies(1_000, 5));
    assertEquals("[5, 5, 5, 5, 5, 5, 5, 5, 5, 5, …]", rendered(thousand));
  }

  @Test
  public void partsOfListsAndMapsShowTheirElements() {
    List<Integer> list = List.of(0, 1, 2, 3);
    assertEquals("[1, 2]", rendered(list.subList(1, 3)));
    assertEquals("[1, 2]", rendered(Arrays.asList(0, 1, 2, 3).subList(1, 3)));
    assertEquals("[1, 2]", rendered(new Vector<>(list).subList(1, 3)));
    assertIdentity(new LinkedList<>(list).subList(1, 3));
    assertEquals("[7, 7, 7]", rendered(Collections.nCopies(3, 7)));
    Map<Integer, String> expected = new TreeMap<>(Map.of(1, "a", 2, "b"));
    List<Map<Integer, String>> maps =
        List.of(
            expected,
            new HashMap<>(expected),
            new LinkedHashMap<>(expected),
            new ConcurrentHashMap<>(expected),
            new ConcurrentSkipListMap<>(expected),
            Collections.unmodifiableMap(expected));
    for (Map<Integer, String> map : maps) {
      String name = map.getClass().getName();
      assertEquals(name, "[1, 2]", rendered(map.keySet()));
      assertEquals(name, "[\"a\", \"b\"]", rendered(map.values()));
    }
    assertEquals("[1=\"a\", 2=\"b\"]", rendered(new HashMap<>(expected).entrySet()));
    assertIdentity(new HashMap<Integer, String>() {}.keySet());
    assertIdentity(new HashMap<Integer, String>() {}.values());
  }

  @Test
  public void otherMapsAndSetsShowTheirElements() {
    Map<Object, Object> sorted = new TreeMap<>(Map.of(1, "a", 2, "b"));
    String text = "{1=\"a\", 2=\"b\"}";
    ConcurrentSkipListMap<Object, Object> skipList = new ConcurrentSkipListMap<>(sorted);
    for (int i = 3; i < 100; i++) {
      skipList.put(i, i);
    }
    assertTrue(rendered(skipList), rendered(skipList).endsWith("10=10, … 89 more}"));
    for (int i = 3; i < 100; i++) {
      skipList.remove(i);
    }
    assertEquals(text, rendered(skipList));
    assertEquals("{}", rendered(new ConcurrentSkipListMap<>()));
    Map<Object, Object> hashtable = new Hashtable<>(sorted);
    hashtable.put(-1, "c");
    assertEquals(Set.of("1=\"a\"", "2=\"b\"", "-1=\"c\""), parts(rendered(hashtable)));
    Trap trap = new Trap();
    Map<Object, Object> identities = new IdentityHashMap<>();
    identities.put(trap, 1);
    assertEquals("{" + identity(trap) + "=1}", rendered(identities));
    identities.clear();
    identities.put(null, 2);
    assertEquals("{null=2}", rendered(identities));
    assertIdentity(new WeakHashMap<>(sorted));
    assertEquals("[1, 2]", rendered(new ConcurrentSkipListSet<>(List.of(2, 1))));
    assertEquals("[2, 1]", rendered(new CopyOnWriteArraySet<>(List.of(2, 1))));
    Set<Integer> concurrent = ConcurrentHashMap.newKeySet();
    concurrent.add(1);
    assertEquals("[1]", rendered(concurrent));
    Set<Integer> ofMap = Collections.newSetFromMap(new ConcurrentHashMap<>());
    ofMap.add(1);
    assertEquals("[1]", rendered(ofMap));
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
}
