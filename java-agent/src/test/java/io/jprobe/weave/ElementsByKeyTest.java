// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static org.junit.Assert.assertEquals;

import io.jprobe.weave.RenderedObjects.OwnList;
import io.jprobe.weave.RenderedObjects.State;
import io.jprobe.weave.RenderedObjects.Trap;
import java.jprobe.Fire;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.BeforeClass;
import org.junit.Test;

/** Elements that paths find by index or key. */
public class ElementsByKeyTest {
  @BeforeClass
  public static void bindFire() throws Exception {
    RenderedObjects.bindFire();
  }

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
