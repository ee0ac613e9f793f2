// SPDX-License-Identifier: Apache-2.0

import com.google.common.base.CaseFormat;
import com.google.common.base.CharMatcher;
import com.google.common.base.Joiner;
import com.google.common.base.MoreObjects;
import com.google.common.base.Preconditions;
import com.google.common.base.Splitter;
import com.google.common.base.Throwables;
import com.google.common.cache.CacheBuilder;
import com.google.common.cache.CacheLoader;
import com.google.common.cache.LoadingCache;
import com.google.common.collect.ArrayListMultimap;
import com.google.common.collect.ComparisonChain;
import com.google.common.collect.ContiguousSet;
import com.google.common.collect.DiscreteDomain;
import com.google.common.collect.FluentIterable;
import com.google.common.collect.HashBasedTable;
import com.google.common.collect.HashBiMap;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableRangeMap;
import com.google.common.collect.ImmutableSortedMap;
import com.google.common.collect.Iterables;
import com.google.common.collect.Lists;
import com.google.common.collect.Maps;
import com.google.common.collect.MinMaxPriorityQueue;
import com.google.common.collect.Multimap;
import com.google.common.collect.Ordering;
import com.google.common.collect.Range;
import com.google.common.collect.Sets;
import com.google.common.collect.Table;
import com.google.common.collect.TreeMultiset;
import com.google.common.collect.TreeRangeSet;
import com.google.common.eventbus.EventBus;
import com.google.common.eventbus.Subscribe;
import com.google.common.graph.GraphBuilder;
import com.google.common.graph.Graphs;
import com.google.common.graph.MutableGraph;
import com.google.common.graph.Traverser;
import com.google.common.hash.BloomFilter;
import com.google.common.hash.Funnels;
import com.google.common.hash.HashFunction;
import com.google.common.hash.Hashing;
import com.google.common.html.HtmlEscapers;
import com.google.common.io.BaseEncoding;
import com.google.common.math.BigIntegerMath;
import com.google.common.math.IntMath;
import com.google.common.math.Stats;
import com.google.common.net.HostAndPort;
import com.google.common.net.InternetDomainName;
import com.google.common.net.MediaType;
import com.google.common.primitives.Ints;
import com.google.common.primitives.UnsignedLongs;
import com.google.common.reflect.TypeToken;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.ListeningExecutorService;
import com.google.common.util.concurrent.MoreExecutors;
import com.google.common.util.concurrent.Striped;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Uses much of Guava and checks results that can be given in one line. */
final class GuavaWork {
  private final StringJoiner said = new StringJoiner("; ");

  private GuavaWork() {}

  static String run() throws Exception {
    GuavaWork work = new GuavaWork();
    for (int round = 0; round < 10; round++) {
      work.collections(round);
      work.texts(round);
      work.hashes(round);
      work.graphs(round);
      work.caches(round);
      work.futures(round);
      work.rest(round);
    }
    return Hashing.sha256().hashUnencodedChars(work.said.toString()).toString();
  }

  private void say(Object what) {
    said.add(String.valueOf(what));
  }

  private static void expect(Object got, Object wanted) {
    if (!got.equals(wanted)) {
      throw new IllegalStateException("expected " + wanted + ", got " + got);
    }
  }

  private void collections(int round) {
    List<Integer> numbers = new ArrayList<>();
    for (int i = 0; i < 200; i++) {
      numbers.add(i * 7919 % (211 + round));
    }
    Multimap<Integer, Integer> byRest = ArrayListMultimap.create();
    numbers.forEach(i -> byRest.put(i % 5, i));
    say(byRest.get(3));
    Table<Integer, String, Integer> table = HashBasedTable.create();
    numbers.forEach(i -> table.put(i % 7, "c" + i % 3, i));
    say(ImmutableSortedMap.copyOf(table.column("c1")));
    HashBiMap<Integer, String> names = HashBiMap.create();
    numbers.forEach(i -> names.forcePut(i, "n" + i));
    expect(names.inverse().get("n" + numbers.get(5)), numbers.get(5));
    TreeRangeSet<Integer> ranges = TreeRangeSet.create();
    numbers.forEach(i -> ranges.add(Range.closedOpen(i * 2, i * 2 + 1)));
    say(ranges.complement().asRanges().size());
    TreeMultiset<Integer> counts = TreeMultiset.create();
    numbers.forEach(i -> counts.add(i % 10, i % 3));
    say(counts);
    MinMaxPriorityQueue<Integer> queue = MinMaxPriorityQueue.maximumSize(9).create(numbers);
    say(queue.pollLast());
    expect(
        Lists.transform(Lists.partition(ImmutableList.of(1, 2, 3, 4, 5), 2), List::size).toString(),
        "[2, 2, 1]");
    expect(
        Sets.powerSet(ContiguousSet.create(Range.closed(1, 4), DiscreteDomain.integers())).size(),
        16);
    expect(Sets.cartesianProduct(Sets.newHashSet(1, 2), Sets.newHashSet(3, 4, 5)).size(), 6);
    say(Ordering.natural().reverse().leastOf(numbers, 4));
    say(
        Maps.difference(ImmutableMap.of(1, 2, 3, 4), ImmutableMap.of(1, 2, 3, round))
            .entriesDiffering());
    say(FluentIterable.from(numbers).filter(i -> i % 2 == 0).limit(5).join(Joiner.on('+')));
    say(Iterables.frequency(numbers, 3));
    say(
        ImmutableRangeMap.<Integer, String>builder()
            .put(Range.closed(0, 9), "low")
            .put(Range.greaterThan(9), "high")
            .build()
            .get(round * 3));
    try {
      ImmutableList.of(1).iterator().remove();
      throw new IllegalStateException("an immutable list was changed");
    } catch (UnsupportedOperationException expected) {
      say(expected.getClass());
    }
  }

  private void texts(int round) {
    expect(
        Splitter.on(',').trimResults().omitEmptyStrings().splitToList(" a, ,b,,c ").toString(),
        "[a, b, c]");
    Map<String, String> pairs = Splitter.on('&').withKeyValueSeparator('=').split("a=1&b=" + round);
    expect(Joiner.on('&').withKeyValueSeparator('=').join(pairs), "a=1&b=" + round);
    expect(CharMatcher.inRange('0', '9').retainFrom("a1b22c"), "122");
    expect(
        CaseFormat.LOWER_CAMEL.to(CaseFormat.UPPER_UNDERSCORE, "weaveEveryMethod"),
        "WEAVE_EVERY_METHOD");
    say(
        MoreObjects.toStringHelper("Thing")
            .add("round", round)
            .add("none", (Object) null)
            .omitNullValues());
    expect(HtmlEscapers.htmlEscaper().escape("<a & 'b'>"), "&lt;a &amp; &#39;b&#39;&gt;");
    expect(
        new String(
            BaseEncoding.base32().decode(BaseEncoding.base32().encode(new byte[] {65, 66, 67}))),
        "ABC");
  }

  private void hashes(int round) {
    for (HashFunction function :
        List.of(
            Hashing.murmur3_128(round),
            Hashing.murmur3_32_fixed(),
            Hashing.sipHash24(),
            Hashing.sha512(),
            Hashing.crc32c(),
            Hashing.farmHashFingerprint64(),
            Hashing.adler32())) {
      say(function.newHasher().putInt(round).putUnencodedChars("Rīga").putLong(42).hash());
    }
    expect(Hashing.crc32().hashBytes("123456789".getBytes()).toString(), "2639f4cb");
    BloomFilter<Integer> filter = BloomFilter.create(Funnels.integerFunnel(), 500, 0.01);
    for (int i = 0; i < 500; i++) {
      filter.put(i * 3);
    }
    for (int i = 0; i < 500; i++) {
      Preconditions.checkState(filter.mightContain(i * 3));
    }
    say(Hashing.consistentHash(round * 1_000_003L, 17));
  }

  private void graphs(int round) {
    MutableGraph<Integer> graph = GraphBuilder.directed().allowsSelfLoops(false).build();
    for (int i = 1; i < 60; i++) {
      graph.putEdge(i / 2, i);
    }
    expect(Graphs.hasCycle(graph), false);
    say(ImmutableList.copyOf(Traverser.forTree(graph::successors).depthFirstPostOrder(0)));
    say(ImmutableList.copyOf(Traverser.forGraph(graph).breadthFirst(round + 1)));
    expect(Graphs.reachableNodes(graph, 0).size(), 60);
    graph.putEdge(59, 0);
    expect(Graphs.hasCycle(graph), true);
    say(Graphs.transitiveClosure(graph).edges().size());
  }

  private void caches(int round) throws Exception {
    LoadingCache<Integer, String> cache =
        CacheBuilder.newBuilder()
            .maximumSize(50)
            .expireAfterWrite(1, TimeUnit.HOURS)
            .recordStats()
            .build(CacheLoader.from(key -> "value " + key));
    for (int i = 0; i < 300; i++) {
      expect(cache.get(i % (40 + round)), "value " + i % (40 + round));
    }
    say(cache.stats().loadCount() > 0);
    try {
      CacheBuilder.newBuilder()
          .build(
              CacheLoader.from(
                  (Integer key) -> {
                    throw new IllegalArgumentException("no " + key);
                  }))
          .get(round);
      throw new IllegalStateException("a load that fails did not");
    } catch (com.google.common.util.concurrent.UncheckedExecutionException e) {
      say(Throwables.getRootCause(e).getMessage());
    }
  }

  private void futures(int round) throws Exception {
    ListeningExecutorService threads =
        MoreExecutors.listeningDecorator(Executors.newFixedThreadPool(3));
    Striped<java.util.concurrent.locks.Lock> locks = Striped.lock(4);
    List<ListenableFuture<Integer>> parts = new ArrayList<>();
    for (int i = 0; i < 30; i++) {
      int number = i + round;
      parts.add(
          threads.submit(
              () -> {
                java.util.concurrent.locks.Lock lock = locks.get(number);
                lock.lock();
                try {
                  return number * number;
                } finally {
                  lock.unlock();
                }
              }));
    }
    ListenableFuture<Integer> sum =
        Futures.transform(
            Futures.allAsList(parts),
            all -> all.stream().mapToInt(Integer::intValue).sum(),
            MoreExecutors.directExecutor());
    say(sum.get(30, TimeUnit.SECONDS));
    expect(
        Futures.getUnchecked(
            Futures.catching(
                threads.submit(
                    () -> {
                      if (round >= 0) {
                        throw new IllegalStateException("on purpose");
                      }
                      return "none";
                    }),
                IllegalStateException.class,
                Throwable::getMessage,
                MoreExecutors.directExecutor())),
        "on purpose");
    Preconditions.checkState(
        MoreExecutors.shutdownAndAwaitTermination(threads, 30, TimeUnit.SECONDS));
  }

  /** Subscriber of an event bus. */
  public static final class Subscriber {
    int sum;

    @Subscribe
    public void add(Integer number) {
      sum += number;
    }
  }

  private void rest(int round) {
    EventBus bus = new EventBus();
    Subscriber subscriber = new Subscriber();
    bus.register(subscriber);
    for (int i = 0; i < 20; i++) {
      bus.post(i);
    }
    expect(subscriber.sum, 190);
    expect(IntMath.binomial(10, 3), 120);
    expect(BigIntegerMath.factorial(20).longValueExact(), 2432902008176640000L);
    say(IntMath.divide(round * 7, 3, RoundingMode.HALF_EVEN));
    say(Stats.of(1, 2, 3, round).populationStandardDeviation());
    expect(Ints.asList(Ints.concat(new int[] {1}, new int[] {2, 3})), List.of(1, 2, 3));
    expect(UnsignedLongs.toString(-1), "18446744073709551615");
    expect(HostAndPort.fromString("[::1]:80").getPort(), 80);
    expect(
        InternetDomainName.from("www.example.co.uk").topPrivateDomain().toString(),
        "example.co.uk");
    say(MediaType.parse("text/html; charset=utf-8").type());
    say(new TypeToken<Map<String, List<Integer>>>() {}.getTypes().interfaces().size());
    say(ComparisonChain.start().compare(1, 1).compare("a", "b").result());
  }
}
