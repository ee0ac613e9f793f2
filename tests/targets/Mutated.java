// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.TreeMap;
import java.util.Vector;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.IntConsumer;

/**
 * Passes collections and maps to a method while other threads change them, one thread each. Prints
 * "ready", reads a number of seconds from stdin, and prints how many calls there were in that time,
 * and how many have thrown.
 */
public class Mutated {
  private static final int SIZE = 64;
  private static volatile boolean isStopped;

  static Object take(Object value) {
    return value;
  }

  private static Thread changing(IntConsumer change) {
    Thread thread =
        new Thread(
            () -> {
              for (int i = 0; !isStopped; i++) {
                change.accept(i);
              }
            });
    thread.setDaemon(true);
    return thread;
  }

  private static IntConsumer changesOf(Map<Object, Object> map) {
    return i -> {
      if (i % SIZE == 0) {
        map.clear();
      }
      map.put(i * 7919 % 101, i);
      map.remove(i % 7);
    };
  }

  private static IntConsumer changesOf(List<Object> list) {
    return i -> {
      if (i % SIZE == 0) {
        list.clear();
        // Gives the array back.
        if (list instanceof ArrayList) {
          ((ArrayList<Object>) list).trimToSize();
        }
      }
      list.add(i % 3 == 0 ? "text " + i : (Object) i);
      if (i % 5 == 0) {
        list.remove(0);
      }
    };
  }

  public static void main(String[] arguments) throws Exception {
    List<Object> values = new ArrayList<>();
    List<Thread> threads = new ArrayList<>();
    List<List<Object>> lists =
        List.of(
            new ArrayList<>(), new LinkedList<>(), new Vector<>(), new CopyOnWriteArrayList<>());
    for (List<Object> list : lists) {
      values.add(list);
      threads.add(changing(changesOf(list)));
    }
    List<Map<Object, Object>> maps =
        List.of(new HashMap<>(), new LinkedHashMap<>(), new TreeMap<>(), new ConcurrentHashMap<>());
    for (Map<Object, Object> map : maps) {
      values.add(map);
      threads.add(changing(changesOf(map)));
    }
    ArrayDeque<Object> deque = new ArrayDeque<>();
    StringBuilder builder = new StringBuilder();
    values.add(deque);
    values.add(builder);
    threads.add(
        changing(
            i -> {
              deque.add(i);
              builder.append(i % 3 == 0 ? "ž" : "a");
              if (i % SIZE == 0) {
                deque.clear();
                builder.setLength(0);
                builder.trimToSize();
              }
            }));
    System.out.println("ready");
    long end = System.nanoTime() + new Scanner(System.in).nextInt() * 1_000_000_000L;
    threads.forEach(Thread::start);
    long calls = 0;
    long thrown = 0;
    while (System.nanoTime() < end) {
      for (Object value : values) {
        calls++;
        try {
          take(value);
        } catch (Throwable e) {
          thrown++;
          System.out.println(e);
        }
      }
    }
    isStopped = true;
    System.out.println("calls " + calls + " thrown " + thrown);
  }
}
