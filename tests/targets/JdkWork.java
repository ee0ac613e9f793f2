// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.InputStreamReader;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.Scanner;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Works with the JDK's own classes. Commands on stdin, one per line: {@code add TIMES} calls
 * ArrayList.add in a thread named "adder" and answers with the size; {@code work TIMES} uses
 * java.util, java.util.concurrent and java.io in two threads and answers with a checksum; {@code
 * exit} exits. Prints "ready" first.
 */
public class JdkWork {
  public static void main(String[] arguments) throws Exception {
    Scanner commands = new Scanner(System.in);
    System.out.println("ready");
    while (true) {
      String[] words = commands.nextLine().split(" ");
      switch (words[0]) {
        case "add":
          System.out.println("added " + add(Integer.parseInt(words[1])));
          break;
        case "work":
          System.out.println("worked " + work(Integer.parseInt(words[1])));
          break;
        default:
          return;
      }
    }
  }

  static int add(int times) throws InterruptedException {
    List<Integer> list = new ArrayList<>();
    Thread adder =
        new Thread(
            () -> {
              for (int i = 0; i < times; i++) {
                list.add(i);
              }
            },
            "adder");
    adder.start();
    adder.join();
    return list.size();
  }

  static long work(int times) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(2);
    List<Future<Long>> parts = new ArrayList<>();
    for (int i = 0; i < times; i++) {
      int seed = i;
      parts.add(threads.submit(() -> collections(seed) + concurrent(seed) + streams(seed)));
    }
    long sum = 0;
    for (Future<Long> part : parts) {
      sum = 31 * sum + part.get();
    }
    threads.shutdown();
    if (!threads.awaitTermination(10, TimeUnit.SECONDS)) {
      throw new IllegalStateException("the threads do not end");
    }
    return sum;
  }

  static long collections(int seed) {
    Random random = new Random(seed);
    Map<String, Integer> ages = new HashMap<>();
    TreeMap<Integer, String> sorted = new TreeMap<>();
    PriorityQueue<Integer> queue = new PriorityQueue<>();
    BitSet bits = new BitSet();
    for (int i = 0; i < 20; i++) {
      int number = random.nextInt(100);
      ages.merge("name" + number, 1, Integer::sum);
      sorted.put(number, UUID.nameUUIDFromBytes(new byte[] {(byte) number}).toString());
      queue.add(number);
      bits.set(number);
    }
    StringJoiner joined = new StringJoiner(",");
    sorted.headMap(50).values().forEach(joined::add);
    List<Integer> shuffled = new ArrayList<>(new ArrayDeque<>(queue));
    Collections.shuffle(shuffled, random);
    int failures = 0;
    try {
      List.of(1).iterator().remove();
    } catch (UnsupportedOperationException e) {
      failures++;
    }
    String text = String.format("%s %d", joined, new LinkedHashMap<>(ages).hashCode());
    return text.hashCode()
        + bits.cardinality()
        + shuffled.get(0)
        + failures
        + Optional.of(queue.poll()).map(least -> least + 1).orElse(0);
  }

  static long concurrent(int seed) throws Exception {
    ConcurrentHashMap<Integer, Integer> map = new ConcurrentHashMap<>();
    ConcurrentSkipListMap<Integer, Integer> list = new ConcurrentSkipListMap<>();
    LinkedBlockingQueue<Integer> queue = new LinkedBlockingQueue<>();
    for (int i = 0; i < 10; i++) {
      map.computeIfAbsent(seed % (i + 1), key -> key * 2);
      list.put(i * seed % 17, i);
      queue.put(i);
    }
    CountDownLatch latch = new CountDownLatch(1);
    CompletableFuture<Integer> later =
        CompletableFuture.supplyAsync(() -> queue.remove() + map.size())
            .thenCombine(CompletableFuture.supplyAsync(list::size), Integer::sum)
            .whenComplete((sum, problem) -> latch.countDown());
    latch.await();
    return later.get() + queue.take();
  }

  static long streams(int seed) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeUTF("line " + seed + "\n");
      out.writeLong(seed);
    }
    try (BufferedReader in =
        new BufferedReader(
            new InputStreamReader(new ByteArrayInputStream(bytes.toByteArray()), "UTF-8"))) {
      return in.lines().mapToInt(String::length).sum();
    }
  }
}
