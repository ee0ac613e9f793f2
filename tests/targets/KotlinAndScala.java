// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.invoke.MethodType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import kotlin.KotlinNothingValueException;
import kotlin.Lazy;
import kotlin.LazyKt;
import kotlin.Pair;
import kotlin.ResultKt;
import kotlin.UInt;
import kotlin.collections.CollectionsKt;
import kotlin.ranges.ClosedRange;
import kotlin.ranges.IntRange;
import kotlin.ranges.RangesKt;
import kotlin.sequences.Sequence;
import kotlin.sequences.SequencesKt;
import kotlin.text.Regex;
import kotlin.text.StringsKt;
import kotlin.text.UStringsKt;
import kotlin.time.Duration;
import scala.Function1;
import scala.Option;
import scala.Option$;
import scala.Tuple2;
import scala.Tuple2$mcII$sp;
import scala.collection.StringOps$;
import scala.collection.immutable.Map$;
import scala.collection.immutable.Range;
import scala.math.BigInt;
import scala.math.BigInt$;
import scala.runtime.RichInt$;
import scala.runtime.java8.JFunction1$mcVI$sp;
import scala.util.Try;
import scala.util.Try$;

/**
 * Calls the standard libraries of Kotlin and Scala as their compilers built them, and prints the
 * expected events as JSON. The traced methods are selected in
 * tests/integration/test_kotlin_and_scala.py. Names that contain '-' cannot be written in Java and
 * are called through reflection.
 *
 * <p>Commands on stdin, one per line: {@code run} makes all calls and prints a JSON object; {@code
 * work} computes a result and prints it; {@code exit} exits. Prints "ready" first, when all classes
 * are loaded.
 */
public class KotlinAndScala {
  private static final String STRING = "Ljava/lang/String;";
  private static final String OBJECT = "Ljava/lang/Object;";

  private final Expected expected = new Expected("", 1024);

  public static void main(String[] arguments) throws Exception {
    new KotlinAndScala().all();
    work();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {
      if (command.equals("work")) {
        System.out.println("worked: " + work());
      } else {
        KotlinAndScala calls = new KotlinAndScala();
        calls.all();
        long thread = Thread.currentThread().getId();
        String events = Expected.json(calls.expected.events());
        System.out.println("{\"thread\":" + thread + ",\"events\":" + events + "}");
      }
    }
  }

  private void all() throws Exception {
    defaultArguments();
    inlineClasses();
    dataAndLaziness();
    lambdasAndRanges();
    operators();
    specialised();
    objectsAndTraits();
  }

  /** Calls a method that Java source cannot name or access. */
  private static Object call(String type, Object receiver, String signature, Object... arguments)
      throws Exception {
    for (Method method : Class.forName(type).getDeclaredMethods()) {
      MethodType of = MethodType.methodType(method.getReturnType(), method.getParameterTypes());
      if (signature.equals(method.getName() + of.toMethodDescriptorString())) {
        method.setAccessible(true);
        return method.invoke(receiver, arguments);
      }
    }
    throw new NoSuchMethodException(signature);
  }

  /** Calls such a static method, which makes no other traced call, and expects its events. */
  private Object leaf(String type, String signature, Object... arguments) throws Exception {
    return expected.call(call(type, null, signature, arguments), type + "#" + signature, arguments);
  }

  // ---- Kotlin ----

  /** Calls top-level functions and the synthetic ones that fill in default arguments. */
  private void defaultArguments() throws Exception {
    String strings = "kotlin.text.StringsKt__StringsKt";
    String padStart = strings + "#padStart(" + STRING + "IC)" + STRING;
    String padded = StringsKt.padStart("7", 3, '0');
    expected.call(padded, padStart, "7", 3, '0');
    String signature = "padStart$default(" + STRING + "ICI" + OBJECT + ")" + STRING;
    call(strings, null, signature, "7", 3, '\0', 2, null);
    expected.entry(strings + "#" + signature, "7", 3, '\0', 2, null);
    expected.call("  7", padStart, "7", 3, ' ');
    expected.returned(strings + "#" + signature, "  7");

    String collections = "kotlin.collections.CollectionsKt___CollectionsKt";
    String sequence = "Ljava/lang/CharSequence;";
    String types =
        "(Ljava/lang/Iterable;"
            + sequence.repeat(3)
            + "I"
            + sequence
            + "Lkotlin/jvm/functions/Function1;";
    signature = "joinToString$default" + types + "I" + OBJECT + ")" + STRING;
    List<Integer> numbers = List.of(1, 2, 3);
    call(collections, null, signature, numbers, "-", null, null, 0, null, null, 62, null);
    expected.entry(
        collections + "#" + signature, numbers, "-", null, null, 0, null, null, 62, null);
    expected.call(
        "1-2-3",
        collections + "#joinToString" + types + ")" + STRING,
        numbers,
        "-",
        "",
        "",
        -1,
        "...",
        null);
    expected.returned(collections + "#" + signature, "1-2-3");

    String toInt =
        "kotlin.text.StringsKt__StringNumberConversionsKt#toIntOrNull("
            + STRING
            + ")Ljava/lang/Integer;";
    expected.call(StringsKt.toIntOrNull("12"), toInt, "12");
    expected.call(StringsKt.toIntOrNull("x"), toInt, "x");
  }

  /** Calls methods with mangled names, whose parameters have the type inside the inline class. */
  private void inlineClasses() throws Exception {
    leaf("kotlin.UnsignedKt", "uintDivide-J1ME1BU(II)I", -2, 2);
    leaf("kotlin.text.UStringsKt", "toString-V7xB4Y4(II)" + STRING, -1, 16);
    UInt seven = UStringsKt.toUIntOrNull("7");
    expected.call(seven, "kotlin.UInt#box-impl(I)Lkotlin/UInt;", 7);
    expected.call(call("kotlin.UInt", seven, "unbox-impl()I"), "kotlin.UInt#unbox-impl()I");

    String companion = "kotlin.time.Duration$Companion";
    String parse = "parse-UwyO8pc(" + STRING + ")J";
    long hours = (Long) call(companion, Duration.Companion, parse, "3h");
    expected.entry(companion + "#" + parse, "3h");
    expected.call(hours, "kotlin.time.Duration#plus-LRDsOJo(JJ)J", 0L, hours);
    expected.returned(companion + "#" + parse, hours);
    leaf("kotlin.time.Duration", "plus-LRDsOJo(JJ)J", hours, -hours);
    try {
      call(companion, Duration.Companion, parse, "nonsense");
    } catch (InvocationTargetException e) {
      expected.entry(companion + "#" + parse, "nonsense");
      expected.threw(companion + "#" + parse, IllegalArgumentException.class);
    }
  }

  private void dataAndLaziness() throws Exception {
    Pair<String, Integer> pair = new Pair<>("one", 1);
    expected.run("kotlin.Pair#<init>(" + OBJECT + OBJECT + ")V", "one", pair.getSecond());
    expected.call(pair.component1(), "kotlin.Pair#component1()" + OBJECT);
    String signature =
        "copy$default(Lkotlin/Pair;" + OBJECT + OBJECT + "I" + OBJECT + ")Lkotlin/Pair;";
    Object copy = call("kotlin.Pair", null, signature, pair, null, "two", 1, null);
    String copying = "kotlin.Pair#" + signature;
    expected.entry(copying, pair, null, "two", 1, null);
    expected.entry("kotlin.Pair#copy(" + OBJECT + OBJECT + ")Lkotlin/Pair;", "one", "two");
    expected.run("kotlin.Pair#<init>(" + OBJECT + OBJECT + ")V", "one", "two");
    expected.returned("kotlin.Pair#copy(" + OBJECT + OBJECT + ")Lkotlin/Pair;", copy);
    expected.returned(copying, copy);
    expected.call(copy.equals(pair), "kotlin.Pair#equals(" + OBJECT + ")Z", pair);
    expected.call(copy.hashCode(), "kotlin.Pair#hashCode()I");
    expected.call(pair.toString(), "kotlin.Pair#toString()" + STRING);

    // A synthetic constructor.
    kotlin.jvm.functions.Function0<Object> initializer = () -> pair;
    Lazy<Object> lazy = LazyKt.lazy(initializer);
    String function = "Lkotlin/jvm/functions/Function0;";
    String withMask =
        "kotlin.SynchronizedLazyImpl#<init>("
            + function
            + OBJECT
            + "ILkotlin/jvm/internal/DefaultConstructorMarker;)V";
    expected.entry(withMask, initializer, null, 2, null);
    expected.run(
        "kotlin.SynchronizedLazyImpl#<init>(" + function + OBJECT + ")V", initializer, null);
    expected.returned(withMask);
    for (int i = 0; i < 2; i++) {
      expected.call(lazy.getValue(), "kotlin.SynchronizedLazyImpl#getValue()" + OBJECT);
    }

    RuntimeException exception = new KotlinNothingValueException();
    Object failure = ResultKt.createFailure(exception);
    String createFailure = "kotlin.ResultKt#createFailure(Ljava/lang/Throwable;)" + OBJECT;
    expected.entry(createFailure, exception);
    expected.run("kotlin.Result$Failure#<init>(Ljava/lang/Throwable;)V", exception);
    expected.returned(createFailure, failure);
    try {
      ResultKt.throwOnFailure(failure);
    } catch (KotlinNothingValueException e) {
      expected.entry("kotlin.ResultKt#throwOnFailure(" + OBJECT + ")V", failure);
      expected.threw("kotlin.ResultKt#throwOnFailure(" + OBJECT + ")V", e.getClass());
    }
  }

  private void lambdasAndRanges() {
    String indent = "kotlin.text.StringsKt__IndentKt#prependIndent";
    StringsKt.prependIndent("a\nb", "> ");
    expected.entry(indent + "(" + STRING + STRING + ")" + STRING, "a\nb", "> ");
    String body = indent + "$lambda$0$StringsKt__IndentKt(" + STRING + STRING + ")" + STRING;
    expected.call("> a", body, "> ", "a");
    expected.call("> b", body, "> ", "b");
    expected.returned(indent + "(" + STRING + STRING + ")" + STRING, "> a\n> b");

    Sequence<Integer> all = CollectionsKt.asSequence(List.of(1, 2, 3, 4));
    SequencesKt.toList(SequencesKt.filter(all, i -> i % 2 == 0));
    // toList checks for a second element before it chooses the kind of list.
    filtered(true, 2);
    expected.call(true, FILTERING + "hasNext()Z");
    filtered(true, 4);
    expected.call(false, FILTERING + "hasNext()Z");

    String coerceIn = "kotlin.ranges.RangesKt___RangesKt#coerceIn";
    expected.call(RangesKt.coerceIn(5, 1, 3), coerceIn + "(III)I", 5, 1, 3);
    expected.call(RangesKt.coerceIn(-0.0, -1, 1), coerceIn + "(DDD)D", -0.0, -1.0, 1.0);
    try {
      RangesKt.coerceIn(5, 3, 1);
    } catch (IllegalArgumentException e) {
      expected.entry(coerceIn + "(III)I", 5, 3, 1);
      expected.threw(coerceIn + "(III)I", e.getClass());
    }
    IntRange range = new IntRange(1, 9);
    String contains = "kotlin.ranges.IntRange#contains";
    expected.call(range.contains(9), contains + "(I)Z", 9);
    Integer ten = 10;
    // A call through the interface reaches the bridge.
    boolean holds = ((ClosedRange<Integer>) range).contains(ten);
    expected.entry(contains + "(Ljava/lang/Comparable;)Z", ten);
    expected.call(holds, contains + "(I)Z", 10);
    expected.returned(contains + "(Ljava/lang/Comparable;)Z", holds);
    String escaped = Regex.Companion.escape("a.b");
    expected.call(escaped, "kotlin.text.Regex$Companion#escape(" + STRING + ")" + STRING, "a.b");
  }

  private static final String FILTERING = "kotlin.sequences.FilteringSequence$iterator$1#";

  private void filtered(boolean hasNext, Integer element) {
    expected.call(hasNext, FILTERING + "hasNext()Z");
    expected.call(element, FILTERING + "next()" + OBJECT);
  }

  // ---- Scala ----

  private static final String LIST = "Lscala/collection/immutable/List;";

  /** Uses methods, and a class, with symbolic names. */
  private void operators() {
    scala.collection.immutable.List<String> nil = scala.collection.immutable.List$.MODULE$.empty();
    scala.collection.immutable.List<String> b = nil.$colon$colon("b");
    cons("b", nil, b);
    scala.collection.immutable.List<String> ab = b.$colon$colon("a");
    cons("a", b, ab);
    String triple = "scala.collection.immutable.List#$colon$colon$colon(" + LIST + ")" + LIST;
    expected.entry(triple, nil);
    expected.returned(triple, ab.$colon$colon$colon(nil));
    String concat =
        "scala.collection.IterableOps#$plus$plus(Lscala/collection/IterableOnce;)" + OBJECT;
    Object same = ab.$plus$plus(nil);
    expected.entry(concat, nil);
    expected.call(same, triple, ab);
    expected.returned(concat, same);

    BigInt five = BigInt$.MODULE$.apply(5);
    expected.call(five, "scala.math.BigInt$#apply(I)Lscala/math/BigInt;", 5);
    BigInt ten = five.$plus(five);
    expected.call(ten, "scala.math.BigInt#$plus(Lscala/math/BigInt;)Lscala/math/BigInt;", five);
    BigInt minus = five.unary_$minus();
    expected.call(minus, "scala.math.BigInt#unary_$minus()Lscala/math/BigInt;");
    // A default method of a trait, which the class calls through a forwarder.
    boolean less = five.$less(ten);
    expected.entry("scala.math.BigInt#$less(" + OBJECT + ")Z", ten);
    expected.entry("scala.math.Ordered#$less$(Lscala/math/Ordered;" + OBJECT + ")Z", five, ten);
    expected.call(less, "scala.math.Ordered#$less(" + OBJECT + ")Z", ten);
    expected.returned("scala.math.Ordered#$less$(Lscala/math/Ordered;" + OBJECT + ")Z", less);
    expected.returned("scala.math.BigInt#$less(" + OBJECT + ")Z", less);
  }

  private void cons(Object head, Object tail, Object result) {
    String method = "scala.collection.immutable.List#$colon$colon(" + OBJECT + ")" + LIST;
    expected.entry(method, head);
    expected.run(
        "scala.collection.immutable.$colon$colon#<init>(" + OBJECT + LIST + ")V", head, tail);
    expected.returned(method, result);
  }

  /**
   * Calls copies of methods for primitive types. Raw types, because Java cannot express Scala's
   * Unit.
   */
  @SuppressWarnings({"rawtypes", "unchecked"})
  private void specialised() {
    Tuple2<Object, Object> pair = new Tuple2$mcII$sp(3, 4);
    String tuple = "scala.Tuple2$mcII$sp#";
    expected.run(tuple + "<init>(II)V", 3, 4);
    expected.call(pair._1$mcI$sp(), tuple + "_1$mcI$sp()I");
    // The bridge calls the method that calls the copy.
    Object four = pair._2();
    expected.entry(tuple + "_2()" + OBJECT);
    expected.entry(tuple + "_2()I");
    expected.call(4, tuple + "_2$mcI$sp()I");
    expected.returned(tuple + "_2()I", 4);
    expected.returned(tuple + "_2()" + OBJECT, four);

    Range range = RichInt$.MODULE$.to$extension(1, 3);
    expected.call(
        range,
        "scala.runtime.RichInt$#to$extension(II)Lscala/collection/immutable/Range$Inclusive;",
        1,
        3);
    int[] sum = {0};
    Function1 add = (JFunction1$mcVI$sp) i -> sum[0] += i;
    range.foreach$mVc$sp(add);
    expected.run("scala.collection.immutable.Range#foreach$mVc$sp(Lscala/Function1;)V", add);
    String apply = "scala.collection.immutable.Range#apply$mcII$sp(I)I";
    expected.call(range.apply$mcII$sp(2), apply, 2);
    try {
      range.apply$mcII$sp(3);
    } catch (IndexOutOfBoundsException e) {
      expected.entry(apply, 3);
      expected.threw(apply, IndexOutOfBoundsException.class);
    }
  }

  private void objectsAndTraits() {
    Option<String> some = Option$.MODULE$.apply("some");
    expected.call(some, "scala.Option$#apply(" + OBJECT + ")Lscala/Option;", "some");
    expected.call(
        Option$.MODULE$.apply(null),
        "scala.Option$#apply(" + OBJECT + ")Lscala/Option;",
        (Object) null);
    scala.Function0<String> other = () -> "other";
    expected.call(
        some.getOrElse(other), "scala.Option#getOrElse(Lscala/Function0;)" + OBJECT, other);

    String ops = "scala.collection.StringOps$#";
    expected.call(
        StringOps$.MODULE$.$times$extension("ab", 3),
        ops + "$times$extension(" + STRING + "I)" + STRING,
        "ab",
        3);
    String toInt = ops + "toInt$extension(" + STRING + ")I";
    expected.call(StringOps$.MODULE$.toInt$extension("42"), toInt, "42");
    try {
      StringOps$.MODULE$.toInt$extension("x");
    } catch (NumberFormatException e) {
      expected.entry(toInt, "x");
      expected.threw(toInt, e.getClass());
    }

    RuntimeException exception = new IllegalStateException();
    Try<Object> failed =
        Try$.MODULE$.apply(
            () -> {
              throw exception;
            });
    expected.run("scala.util.Failure#<init>(Ljava/lang/Throwable;)V", exception);
    try {
      failed.get();
    } catch (IllegalStateException e) {
      expected.entry("scala.util.Failure#get()" + OBJECT);
      expected.threw("scala.util.Failure#get()" + OBJECT, e.getClass());
    }

    scala.collection.immutable.Map<String, Integer> empty = Map$.MODULE$.empty();
    Tuple2<String, Integer> entry = new Tuple2<>("key", 1);
    scala.collection.immutable.MapOps<String, Integer, ?, ?> map = empty;
    String mapOps = "scala.collection.immutable.MapOps";
    expected.call(
        map.$plus(entry),
        mapOps + "#$plus(Lscala/Tuple2;)L" + mapOps.replace('.', '/') + ";",
        entry);

    scala.Function2<Integer, Integer, Integer> add = Integer::sum;
    Integer zero = 0;
    String foldLeft = "(" + OBJECT + "Lscala/Function2;)" + OBJECT;
    Integer sum = NUMBERS.foldLeft(zero, add);
    expected.call(sum, "scala.collection.LinearSeqOps#foldLeft" + foldLeft, zero, add);
    String mkString = "scala.collection.IterableOnceOps#mkString";
    NUMBERS.mkString("[", ", ", "]");
    expected.call("[1, 2, 3, 4]", mkString + "(" + STRING.repeat(3) + ")" + STRING, "[", ", ", "]");
  }

  private static final scala.collection.immutable.List<Integer> NUMBERS = numbers(4);

  private static scala.collection.immutable.List<Integer> numbers(int count) {
    List<Integer> numbers = new ArrayList<>();
    for (int i = 1; i <= count; i++) {
      numbers.add(i);
    }
    return scala.jdk.javaapi.CollectionConverters.asScala(numbers).toList();
  }

  // ---- work without expected events ----

  /** Runs much code of both libraries. Returns the same result each time. */
  @SuppressWarnings("unchecked")
  private static String work() {
    StringBuilder said = new StringBuilder();
    List<Integer> numbers = new ArrayList<>();
    for (int i = 0; i < 200; i++) {
      numbers.add(i * 7919 % 211);
    }
    said.append(
        CollectionsKt.joinToString(
            CollectionsKt.chunked(CollectionsKt.sorted(numbers), 37),
            "|",
            "<",
            ">",
            4,
            "etc",
            list -> String.valueOf(CollectionsKt.sumOfInt(list))));
    said.append(
        SequencesKt.joinToString(
            SequencesKt.filter(
                SequencesKt.map(CollectionsKt.asSequence(numbers), i -> i * i), i -> i % 3 == 0),
            ",",
            "",
            "",
            9,
            "...",
            null));
    said.append(CollectionsKt.groupBy(numbers, i -> i % 5).keySet());
    said.append(new Regex("(\\w)(\\d+)").replace("a1 b22 c333", "$2$1"));
    said.append(StringsKt.trimMargin("|a\n  |b", "|")).append(StringsKt.lines("x\ny\r\nz"));
    said.append(kotlin.random.RandomKt.Random(42).nextInt(1_000));
    said.append(CollectionsKt.shuffled(numbers, kotlin.random.RandomKt.Random(1)).subList(0, 5));

    scala.collection.immutable.List<Integer> list = numbers(100);
    said.append(list.map(i -> i * 2).filter(i -> i % 3 == 0).mkString(","));
    said.append(list.reverse().take(3)).append(list.grouped(30).toList());
    said.append(
        new TreeMap<>(scala.jdk.javaapi.CollectionConverters.asJava(list.groupBy(i -> i % 4))));
    scala.collection.immutable.Map<Integer, Integer> map = Map$.MODULE$.empty();
    for (int i = 0; i < 100; i++) {
      map = map.updated(i * 31, i);
    }
    said.append(map.size()).append(map.get(31 * 99)).append(map.get(1));
    said.append(list.toVector().reverse()).append(list.mkString("", "", "").length());
    said.append(list.toSet().contains(50)).append(list.sliding(2).size());
    said.append(BigInt$.MODULE$.apply(2).pow(200));
    said.append(StringOps$.MODULE$.capitalize$extension("scala"));
    said.append(scala.collection.immutable.LazyList$.MODULE$.from(1).take(5).toList());
    return said.toString().replace('\n', ' ');
  }
}
