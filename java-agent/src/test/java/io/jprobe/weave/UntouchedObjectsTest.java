// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import static io.jprobe.weave.RenderedObjects.assertIdentity;
import static io.jprobe.weave.RenderedObjects.rendered;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.weave.RenderedObjects.OwnList;
import io.jprobe.weave.RenderedObjects.OwnText;
import io.jprobe.weave.RenderedObjects.State;
import io.jprobe.weave.RenderedObjects.Trap;
import java.jprobe.Fire;
import java.lang.reflect.Field;
import java.lang.reflect.Proxy;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.Vector;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.BeforeClass;
import org.junit.Test;

/** Rendering an object runs none of its code, takes no lock, and survives objects in any state. */
public class UntouchedObjectsTest {
  @BeforeClass
  public static void bindFire() throws Exception {
    RenderedObjects.bindFire();
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
}
