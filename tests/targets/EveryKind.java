// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.IntSupplier;
import java.util.function.IntUnaryOperator;
import java.util.function.Supplier;

/**
 * Calls all methods of {@link Kinds} in new threads and prints as JSON the events that each thread
 * must fire. Argument: the agent's string limit in bytes.
 *
 * <p>Commands on stdin, one per line: {@code run} makes all calls and prints a JSON object; {@code
 * exit} exits. Prints "ready" first, when all classes are loaded.
 */
public class EveryKind {
  private final Expected expected;
  private final int limit;

  EveryKind(int limit) {
    this.expected = new Expected("Kinds$", limit);
    this.limit = limit;
  }

  public static void main(String[] arguments) throws Exception {
    Kinds.load();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {
      System.out.println(run(Integer.parseInt(arguments[0])));
    }
  }

  private static String run(int limit) throws Exception {
    EveryKind calls = new EveryKind(limit);
    String caller = inThread("caller", calls::all);
    EveryKind deep = new EveryKind(limit);
    String overflow = inThread("overflow", deep::overflow);
    return "{\"caller\":" + caller + ",\"overflow\":" + overflow + "}";
  }

  interface Calls {
    Expected make() throws Exception;
  }

  /**
   * Makes calls in a new thread. Returns the thread's identity and its expected events, as JSON.
   */
  private static String inThread(String name, Calls calls) throws Exception {
    String[] said = new String[1];
    Thread thread =
        new Thread(
            () -> {
              try {
                Path self = Files.readSymbolicLink(Path.of("/proc/thread-self"));
                Expected expected = calls.make();
                said[0] =
                    String.format(
                        "{\"thread\":%d,\"tid\":%s,\"depth\":%d,\"events\":%s}",
                        Thread.currentThread().getId(),
                        self.getFileName(),
                        Kinds.Exits.depth,
                        Expected.json(expected.events()));
              } catch (Throwable e) {
                e.printStackTrace();
              }
            },
            name);
    thread.start();
    thread.join();
    return said[0];
  }

  private Expected all() throws Exception {
    numbers();
    references();
    strings();
    manyArguments();
    initialisers();
    constructors();
    methods();
    interfaces();
    lambdasAndInnerClasses();
    enums();
    returns();
    exceptions();
    exceptionsOfTheJvm();
    return expected;
  }

  private void numbers() {
    for (boolean value : new boolean[] {false, true}) {
      expected.call(Kinds.Types.aBoolean(value), "Types#aBoolean(Z)Z", value);
    }
    for (byte value : new byte[] {Byte.MIN_VALUE, -1, 0, 1, Byte.MAX_VALUE}) {
      expected.call(Kinds.Types.aByte(value), "Types#aByte(B)B", value);
    }
    for (short value : new short[] {Short.MIN_VALUE, -1, 0, 1, Short.MAX_VALUE}) {
      expected.call(Kinds.Types.aShort(value), "Types#aShort(S)S", value);
    }
    for (char value : new char[] {0, 'a', 'ž', '\ud83d', '\ude00', '\ufffe', Character.MAX_VALUE}) {
      expected.call(Kinds.Types.aChar(value), "Types#aChar(C)C", value);
    }
    for (int value : new int[] {Integer.MIN_VALUE, -1, 0, 1, Integer.MAX_VALUE}) {
      expected.call(Kinds.Types.anInt(value), "Types#anInt(I)I", value);
    }
    for (long value : new long[] {Long.MIN_VALUE, -1L << 32, -1, 0, 1L << 32, Long.MAX_VALUE}) {
      expected.call(Kinds.Types.aLong(value), "Types#aLong(J)J", value);
    }
    // Floats are compared bit by bit: 0, -0, the least and greatest subnormal, the least normal,
    // 0.1, the greatest value, infinities, and NaNs with a payload (quiet, negative, signaling).
    for (int bits :
        new int[] {
          0,
          0x80000000,
          1,
          0x807fffff,
          0x00800000,
          0x3dcccccd,
          0x7f7fffff,
          0xff7fffff,
          0x7f800000,
          0xff800000,
          0x7fc00000,
          0x7fc12345,
          0xffc54321,
          0x7f812345
        }) {
      float value = Float.intBitsToFloat(bits);
      expected.call(Kinds.Types.aFloat(value), "Types#aFloat(F)F", value);
    }
    for (long bits :
        new long[] {
          0,
          1L << 63,
          1,
          0x800fffffffffffffL,
          0x0010000000000000L,
          0x3fb999999999999aL,
          0x7fefffffffffffffL,
          0xffefffffffffffffL,
          0x7ff0000000000000L,
          0xfff0000000000000L,
          0x7ff8000000000000L,
          0x7ff8123456789abcL,
          0xfff8cba987654321L,
          0x7ff0123456789abcL
        }) {
      double value = Double.longBitsToDouble(bits);
      expected.call(Kinds.Types.aDouble(value), "Types#aDouble(D)D", value);
    }
    Kinds.Types.nothing();
    expected.run("Types#nothing()V");
  }

  private void references() {
    for (Object value : new Object[] {null, new Object(), "text", 1, new int[0], Kinds.class}) {
      expected.call(
          Kinds.Types.anObject(value),
          "Types#anObject(Ljava/lang/Object;)Ljava/lang/Object;",
          value);
    }
    for (Integer value : new Integer[] {null, 7, Integer.MIN_VALUE}) {
      expected.call(
          Kinds.Types.anInteger(value),
          "Types#anInteger(Ljava/lang/Integer;)Ljava/lang/Integer;",
          value);
    }
    for (int[] value : new int[][] {null, {}, {1, 2}}) {
      expected.call(Kinds.Types.anIntArray(value), "Types#anIntArray([I)[I", value);
    }
    String[][] value = {{"a"}, null};
    expected.call(
        Kinds.Types.aStringArray(value),
        "Types#aStringArray([[Ljava/lang/String;)[[Ljava/lang/String;",
        (Object) value);
    // The declared type is not String, so the event has an identity hash.
    CharSequence text = "text";
    expected.call(
        Kinds.Types.aCharSequence(text),
        "Types#aCharSequence(Ljava/lang/CharSequence;)Ljava/lang/CharSequence;",
        text);
  }

  private void strings() {
    List<String> texts = new ArrayList<>();
    Collections.addAll(
        texts,
        null,
        "",
        "a",
        "\0",
        "a\0b\0",
        "tab\tline\n\"quoted\" \\ \u007f\u0080",
        "Rīga",
        "€",
        "\ud83d\ude00",
        "\ud83d",
        "\ude00",
        "\ude00\ud83d",
        "a\ud83db");
    // Texts of exactly the limit, and one byte longer. Then texts whose last character has n bytes,
    // of which 0 to n exceed the limit.
    for (String last : new String[] {"x", "\0", "ž", "€", "\ud83d\ude00", "\ud83d"}) {
      int bytes = last.equals("\ud83d") ? 3 : last.equals("\0") ? 2 : last.getBytes(UTF_8).length;
      for (int beyond = 0; beyond <= bytes; beyond++) {
        if (limit + beyond >= bytes) {
          texts.add("x".repeat(limit - bytes + beyond) + last);
          texts.add("x".repeat(limit - bytes + beyond) + last + "y");
        }
      }
      texts.add(last.repeat(limit));
      texts.add(last.repeat(3 * limit + 1));
    }
    texts.add("x".repeat(1_000_000));
    for (String text : texts) {
      expected.call(
          Kinds.Types.aString(text), "Types#aString(Ljava/lang/String;)Ljava/lang/String;", text);
    }
  }

  private static final java.nio.charset.Charset UTF_8 = java.nio.charset.StandardCharsets.UTF_8;

  private void manyArguments() {
    Object object = new Object();
    int[] array = {1};
    Long boxed = 5L;
    String text = "äöü";
    expected.call(
        Kinds.Types.twelve(
            true,
            (byte) -2,
            '\udc00',
            (short) -4,
            -5,
            -6L,
            -0f,
            Double.MIN_VALUE,
            text,
            object,
            array,
            boxed),
        "Types#twelve(ZBCSIJFDLjava/lang/String;Ljava/lang/Object;[ILjava/lang/Long;)D",
        true,
        (byte) -2,
        '\udc00',
        (short) -4,
        -5,
        -6L,
        -0f,
        Double.MIN_VALUE,
        text,
        object,
        array,
        boxed);

    // The class declares no constructor, so the compiler adds one.
    Kinds.Types types = new Kinds.Types();
    expected.run("Types#<init>()V");
    expected.call(
        types.twelveOfAnObject(
            1e300,
            Long.MIN_VALUE,
            -0.0,
            2,
            -1.5f,
            3,
            null,
            "",
            Long.MAX_VALUE,
            Double.NaN,
            false,
            '\uffff'),
        "Types#twelveOfAnObject(DJDJFILjava/lang/String;Ljava/lang/String;JDZC)J",
        1e300,
        Long.MIN_VALUE,
        -0.0,
        2L,
        -1.5f,
        3,
        null,
        "",
        Long.MAX_VALUE,
        Double.NaN,
        false,
        '\uffff');

    for (int length : new int[] {1, limit - 1, limit, limit + 1}) {
      String[] texts = new String[12];
      for (int i = 0; i < 12; i++) {
        texts[i] = i == 7 ? null : String.valueOf((char) ('a' + i)).repeat(length);
      }
      String strings = "Ljava/lang/String;".repeat(12);
      expected.call(
          Kinds.Types.twelveTexts(
              texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], texts[7],
              texts[8], texts[9], texts[10], texts[11]),
          "Types#twelveTexts(" + strings + ")Ljava/lang/String;",
          (Object[]) texts);
    }

    expected.call(
        Kinds.Types.fourteen(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, "13", 14),
        "Types#fourteen(JIJIJIJIJIJILjava/lang/String;D)J",
        1L,
        2,
        3L,
        4,
        5L,
        6,
        7L,
        8,
        9L,
        10,
        11L,
        12,
        "13",
        14.0);
  }

  private void initialisers() {
    int value = Kinds.Initialised.VALUE;
    expected.entry("Initialised#<clinit>()V");
    expected.call(40, "Initialised#first(I)I", 40);
    expected.returned("Initialised#<clinit>()V");
    check(value == 42);
    new Kinds.Initialised();
    expected.run("Initialised#<init>()V");

    check(thrown(() -> check(Kinds.Unusable.VALUE == 0)) instanceof ExceptionInInitializerError);
    expected.entry("Unusable#<clinit>()V");
    refused("initialiser");
    expected.threw("Unusable#<clinit>()V", IllegalArgumentException.class);
    check(thrown(() -> check(Kinds.Unusable.VALUE == 0)) instanceof NoClassDefFoundError);
  }

  private void constructors() {
    new Kinds.Child("5");
    expected.entry("Child#<init>(Ljava/lang/String;)V", "5");
    expected.call(5, "Child#parse(Ljava/lang/String;)I", "5");
    expected.run("Parent#<init>(I)V", 5);
    expected.returned("Child#<init>(Ljava/lang/String;)V");

    // Throws before super().
    check(thrown(() -> new Kinds.Child("x")) instanceof NumberFormatException);
    expected.entry("Child#<init>(Ljava/lang/String;)V", "x");
    expected.entry("Child#parse(Ljava/lang/String;)I", "x");
    expected.threw("Child#parse(Ljava/lang/String;)I", NumberFormatException.class);
    expected.threw("Child#<init>(Ljava/lang/String;)V", NumberFormatException.class);

    // Throws in super(). No exception handler may cover this call, so Child's throw probe does not
    // fire.
    check(thrown(() -> new Kinds.Child("-5")) instanceof IllegalArgumentException);
    expected.entry("Child#<init>(Ljava/lang/String;)V", "-5");
    expected.call(-5, "Child#parse(Ljava/lang/String;)I", "-5");
    expected.entry("Parent#<init>(I)V", -5);
    expected.threw("Parent#<init>(I)V", IllegalArgumentException.class);

    // Throws after super().
    check(thrown(() -> new Kinds.Child("13")) instanceof IllegalStateException);
    expected.entry("Child#<init>(Ljava/lang/String;)V", "13");
    expected.call(13, "Child#parse(Ljava/lang/String;)I", "13");
    expected.run("Parent#<init>(I)V", 13);
    expected.threw("Child#<init>(Ljava/lang/String;)V", IllegalStateException.class);

    // Throws after this().
    check(thrown(() -> new Kinds.Child("7", true)) instanceof UnsupportedOperationException);
    expected.entry("Child#<init>(Ljava/lang/String;Z)V", "7", true);
    expected.entry("Child#<init>(Ljava/lang/String;)V", "77");
    expected.call(77, "Child#parse(Ljava/lang/String;)I", "77");
    expected.run("Parent#<init>(I)V", 77);
    expected.returned("Child#<init>(Ljava/lang/String;)V");
    expected.threw("Child#<init>(Ljava/lang/String;Z)V", UnsupportedOperationException.class);

    // Throws in this().
    check(thrown(() -> new Kinds.Child("", false)) instanceof NumberFormatException);
    expected.entry("Child#<init>(Ljava/lang/String;Z)V", "", false);
    expected.entry("Child#<init>(Ljava/lang/String;)V", "");
    expected.entry("Child#parse(Ljava/lang/String;)I", "");
    expected.threw("Child#parse(Ljava/lang/String;)I", NumberFormatException.class);
    expected.threw("Child#<init>(Ljava/lang/String;)V", NumberFormatException.class);
  }

  private Kinds.Methods newMethods(String name) {
    Kinds.Methods methods = new Kinds.Methods(name, 2);
    expected.entry("Methods#<init>(Ljava/lang/String;I)V", name, 2);
    expected.run("Base#<init>(Ljava/lang/String;)V", name + name);
    expected.returned("Methods#<init>(Ljava/lang/String;I)V");
    return methods;
  }

  private void methods() {
    new Kinds.Methods();
    expected.entry("Methods#<init>()V");
    expected.entry("Methods#<init>(Ljava/lang/String;I)V", "default", 1);
    expected.run("Base#<init>(Ljava/lang/String;)V", "default");
    expected.returned("Methods#<init>(Ljava/lang/String;I)V");
    expected.returned("Methods#<init>()V");

    Kinds.Methods methods = newMethods("m");
    Kinds.Base<String> base = methods;
    String text = "text";
    String both = base.of(text);
    expected.entry("Methods#of(Ljava/lang/Object;)Ljava/lang/Object;", text);
    expected.call(both, "Methods#of(Ljava/lang/String;)Ljava/lang/String;", text);
    expected.returned("Methods#of(Ljava/lang/Object;)Ljava/lang/Object;", both);

    base.copy();
    expected.entry("Methods#copy()Ljava/lang/Object;");
    expected.entry("Methods#copy()LKinds$Methods;");
    expected.call(methods, "Base#copy()Ljava/lang/Object;");
    expected.returned("Methods#copy()LKinds$Methods;", methods);
    expected.returned("Methods#copy()Ljava/lang/Object;", methods);

    Comparable<Kinds.Methods> comparable = methods;
    int order = comparable.compareTo(methods);
    expected.entry("Methods#compareTo(Ljava/lang/Object;)I", methods);
    expected.call(order, "Methods#compareTo(LKinds$Methods;)I", methods);
    expected.returned("Methods#compareTo(Ljava/lang/Object;)I", order);

    Kinds.Shown shown = new Kinds.Shown();
    expected.entry("Shown#<init>()V");
    expected.run("Concealed#<init>()V");
    expected.returned("Shown#<init>()V");
    shown.shown(3);
    expected.entry("Shown#shown(I)I", 3);
    expected.call(4, "Concealed#shown(I)I", 3);
    expected.returned("Shown#shown(I)I", 4);

    check(expected.call(Kinds.Methods.staticLocked(), "Methods#staticLocked()Z"));
    check(!Thread.holdsLock(Kinds.Methods.class));
    check(expected.call(methods.locked(), "Methods#locked()Z"));
    check(!Thread.holdsLock(methods));

    int[] values = {1, 2, 3};
    expected.call(Kinds.Methods.sum(values), "Methods#sum([I)I", values);

    methods.addTwice(21);
    expected.entry("Methods#addTwice(J)J", 21L);
    expected.call(21L, "Methods#add(J)J", 21L);
    expected.call(42L, "Methods#add(J)J", 21L);
    expected.returned("Methods#addTwice(J)J", 42L);

    Float number = 1.5f;
    expected.call(
        methods.same(number), "Methods#same(Ljava/lang/Number;)Ljava/lang/Number;", number);
    methods.factorial(12);
    factorial(12);
    expected.call(methods.half(-0.0), "Methods#half(D)D", -0.0);
  }

  private long factorial(int number) {
    expected.entry("Methods#factorial(I)J", number);
    long result = number <= 1 ? 1 : number * factorial(number - 1);
    expected.returned("Methods#factorial(I)J", result);
    return result;
  }

  private void interfaces() {
    Kinds.Methods methods = newMethods("i");
    String greeting = methods.greet("you");
    expected.entry("Named#greet(Ljava/lang/String;)Ljava/lang/String;", "you");
    expected.call("hello you", "Named#secret(Ljava/lang/String;)Ljava/lang/String;", "you");
    expected.call("!!", "Named#shout(Ljava/lang/String;)Ljava/lang/String;", "!");
    expected.returned("Named#greet(Ljava/lang/String;)Ljava/lang/String;", "hello you!!");
    check(greeting.equals("hello you!!"));
  }

  private void lambdasAndInnerClasses() {
    IntSupplier later = Kinds.Methods.later(6);
    expected.call(later, "Methods#later(I)Ljava/util/function/IntSupplier;", 6);
    expected.call(later.getAsInt(), "Methods#" + body("later", int.class) + "(I)I", 6);

    Kinds.Methods methods = newMethods("l");
    IntUnaryOperator adding = methods.adding();
    expected.call(adding, "Methods#adding()Ljava/util/function/IntUnaryOperator;");
    int sum = adding.applyAsInt(8);
    String addingBody = "Methods#" + body("adding", int.class) + "(I)I";
    expected.entry(addingBody, 8);
    expected.call(8L, "Methods#add(J)J", 8L);
    expected.returned(addingBody, sum);

    String supplier = "Ljava/util/function/Supplier;";
    String string = "(Ljava/lang/String;)";
    Supplier<Supplier<String>> outer = Kinds.Methods.nested("ab");
    expected.call(outer, "Methods#nested" + string + supplier, "ab");
    Supplier<String> inner = outer.get();
    String outerBody = "Methods#" + body("nested", Supplier.class) + string + supplier;
    expected.call(inner, outerBody, "ab");
    String innerBody = "Methods#" + body("nested", String.class) + string + "Ljava/lang/String;";
    expected.call(inner.get(), innerBody, "ab");

    List<String> log = new ArrayList<>();
    Runnable anonymous = Kinds.Methods.anonymous(log, 3);
    String making = "Methods#anonymous(Ljava/util/List;I)Ljava/lang/Runnable;";
    expected.entry(making, log, 3);
    expected.run("Methods$1#<init>(ILjava/util/List;)V", 3, log);
    expected.returned(making, anonymous);
    anonymous.run();
    expected.run("Methods$1#run()V");
    check(log.size() == 3);

    expected.entry("Methods#local(J)J", -3L);
    expected.run("Methods$1Local#<init>(IJ)V", 2, -3L);
    expected.returned("Methods#local(J)J", Kinds.Methods.local(-3));

    Kinds.Methods.Inner object = methods.new Inner(5);
    expected.run("Methods$Inner#<init>(LKinds$Methods;I)V", methods, 5);
    expected.entry("Methods$Inner#addStep()J");
    expected.call(13L, "Methods#add(J)J", 5L);
    expected.returned("Methods$Inner#addStep()J", object.addStep());
  }

  /** Returns the compiler's name for the body of the lambda of this type in a method. */
  private static String body(String method, Class<?> type) {
    List<String> found = new ArrayList<>();
    for (Method declared : Kinds.Methods.class.getDeclaredMethods()) {
      if (declared.getName().startsWith("lambda$" + method + "$")
          && declared.getReturnType() == type) {
        found.add(declared.getName());
      }
    }
    check(found.size() == 1);
    return found.get(0);
  }

  private void enums() throws Exception {
    Kinds.Level low = Kinds.Level.LOW;
    Field all = Kinds.Level.class.getDeclaredField("$VALUES");
    all.setAccessible(true);
    expected.entry("Level#<clinit>()V");
    expected.entry("Level$1#<init>(Ljava/lang/String;I)V", "LOW", 0);
    expected.entry("Level#<init>(Ljava/lang/String;I)V", "LOW", 0);
    expected.run("Level#<init>(Ljava/lang/String;II)V", "LOW", 0, 1);
    expected.returned("Level#<init>(Ljava/lang/String;I)V");
    expected.returned("Level$1#<init>(Ljava/lang/String;I)V");
    expected.entry("Level$2#<init>(Ljava/lang/String;II)V", "HIGH", 1, 100);
    expected.run("Level#<init>(Ljava/lang/String;II)V", "HIGH", 1, 100);
    expected.returned("Level$2#<init>(Ljava/lang/String;II)V");
    expected.call(all.get(null), "Level#$values()[LKinds$Level;");
    expected.returned("Level#<clinit>()V");

    expected.call(low.weight(3), "Level$1#weight(I)I", 3);
    expected.call(Kinds.Level.HIGH.weight(3), "Level$2#weight(I)I", 3);
    expected.call(Kinds.Level.of(-1), "Level#of(I)LKinds$Level;", -1);
    expected.call(Kinds.Level.of(200), "Level#of(I)LKinds$Level;", 200);
    expected.call(Kinds.Level.values(), "Level#values()[LKinds$Level;");
    // The first call of valueOf makes java.lang.Enum call values(), whose result only Enum sees.
    Thread first = new Thread(() -> Kinds.Level.valueOf("LOW"));
    first.start();
    first.join();
    expected.call(
        Kinds.Level.valueOf("HIGH"), "Level#valueOf(Ljava/lang/String;)LKinds$Level;", "HIGH");
    check(thrown(() -> Kinds.Level.valueOf("MIDDLE")) instanceof IllegalArgumentException);
    expected.entry("Level#valueOf(Ljava/lang/String;)LKinds$Level;", "MIDDLE");
    expected.threw(
        "Level#valueOf(Ljava/lang/String;)LKinds$Level;", IllegalArgumentException.class);
  }

  private void returns() {
    new Kinds.Exits();
    expected.run("Exits#<init>()V");
    expected.call(Kinds.Exits.jumps(9), "Exits#jumps(I)I", 9);
    String chooses = "Exits#chooses(Ljava/lang/String;I)Ljava/lang/String;";
    for (String word : new String[] {"null", "number", "word"}) {
      for (int number : new int[] {1, 2, 1_000}) {
        expected.call(Kinds.Exits.chooses(word, number), chooses, word, number);
      }
    }

    // Exceptions that do not leave the method.
    expected.entry("Exits#keeps(Ljava/lang/String;)I", "kept");
    refused("kept");
    expected.returned("Exits#keeps(Ljava/lang/String;)I", Kinds.Exits.keeps("kept"));
    expected.entry("Exits#returnsInFinally(Ljava/lang/String;)I", "lost");
    refused("lost");
    expected.returned(
        "Exits#returnsInFinally(Ljava/lang/String;)I", Kinds.Exits.returnsInFinally("lost"));

    List<String> log = new ArrayList<>();
    expected.call(
        Kinds.Exits.finallyInFinally(log, false),
        "Exits#finallyInFinally(Ljava/util/List;Z)I",
        // As it was when the call began.
        new ArrayList<String>(),
        false);
    check(log.equals(List.of("try", "inner", "outer")));
    Object lock = new Object();
    String locksTwice = "Exits#locksTwice(Ljava/lang/Object;Z)I";
    expected.call(Kinds.Exits.locksTwice(lock, false), locksTwice, lock, false);
  }

  private void exceptions() {
    check(thrown(() -> Kinds.Exits.refuse("alone")) instanceof IllegalArgumentException);
    refused("alone");

    check(thrown(() -> Kinds.Exits.refuseChecked("why")) instanceof Kinds.Refusal);
    expected.entry("Exits#refuseChecked(Ljava/lang/String;)V", "why");
    expected.run("Refusal#<init>(Ljava/lang/String;)V", "why");
    expected.threw("Exits#refuseChecked(Ljava/lang/String;)V", Kinds.Refusal.class);

    Throwable refusal = thrown(() -> Kinds.Exits.refuseChecked(null));
    expected.entry("Exits#refuseChecked(Ljava/lang/String;)V", (Object) null);
    expected.run("Refusal#<init>(Ljava/lang/String;)V", (Object) null);
    expected.threw("Exits#refuseChecked(Ljava/lang/String;)V", Kinds.Refusal.class);
    for (String method : new String[] {"getMessage", "toString"}) {
      Action ask = method.equals("toString") ? refusal::toString : refusal::getMessage;
      check(thrown(ask) instanceof UnsupportedOperationException);
      expected.entry("Refusal#" + method + "()Ljava/lang/String;");
      expected.threw(
          "Refusal#" + method + "()Ljava/lang/String;", UnsupportedOperationException.class);
    }

    leavesAfterRefusal(() -> Kinds.Exits.passes("a"), "passes", IllegalArgumentException.class);
    leavesAfterRefusal(() -> Kinds.Exits.rethrows("a"), "rethrows", IllegalArgumentException.class);
    leavesAfterRefusal(() -> Kinds.Exits.wraps("a"), "wraps", IllegalStateException.class);

    check(thrown(() -> Kinds.Exits.throwsInFinally(1)) instanceof IllegalArgumentException);
    expected.entry("Exits#throwsInFinally(I)I", 1);
    refused("finally");
    expected.threw("Exits#throwsInFinally(I)I", IllegalArgumentException.class);

    List<String> log = new ArrayList<>();
    check(
        thrown(() -> Kinds.Exits.finallyInFinally(log, true)) instanceof IllegalArgumentException);
    expected.entry("Exits#finallyInFinally(Ljava/util/List;Z)I", new ArrayList<String>(), true);
    refused("inner");
    expected.threw("Exits#finallyInFinally(Ljava/util/List;Z)I", IllegalArgumentException.class);
    check(log.equals(List.of("try", "inner", "outer")));

    leaves(() -> Kinds.Exits.endless(0), ArrayStoreException.class, "Exits#endless(I)I", 0);

    Object lock = new Object();
    leaves(
        () -> Kinds.Exits.locksTwice(lock, true),
        UnsupportedOperationException.class,
        "Exits#locksTwice(Ljava/lang/Object;Z)I",
        lock,
        true);
    check(!Thread.holdsLock(lock) && !Thread.holdsLock(Kinds.Exits.class));

    for (boolean fail : new boolean[] {false, true}) {
      Class<? extends Throwable> exception =
          fail ? IllegalArgumentException.class : IllegalStateException.class;
      check(exception.isInstance(thrown(() -> Kinds.Exits.closes(fail))));
      expected.entry("Exits#closes(Z)V", fail);
      expected.run("Resource#<init>()V");
      expected.entry("Resource#close()V");
      expected.threw("Resource#close()V", IllegalStateException.class);
      expected.threw("Exits#closes(Z)V", exception);
    }
  }

  private void exceptionsOfTheJvm() {
    leaves(() -> Kinds.Exits.dividesBy(0), ArithmeticException.class, "Exits#dividesBy(I)I", 0);
    leaves(
        () -> Kinds.Exits.lengthOf(null),
        NullPointerException.class,
        "Exits#lengthOf(Ljava/lang/String;)I",
        (Object) null);
    int[] array = new int[3];
    leaves(
        () -> Kinds.Exits.elementAt(array, 3),
        ArrayIndexOutOfBoundsException.class,
        "Exits#elementAt([II)I",
        array,
        3);
    Object object = "no number";
    leaves(
        () -> Kinds.Exits.casts(object),
        ClassCastException.class,
        "Exits#casts(Ljava/lang/Object;)Ljava/lang/Integer;",
        object);
    leaves(
        () -> Kinds.Exits.allocates(-1),
        NegativeArraySizeException.class,
        "Exits#allocates(I)[J",
        -1);
    leaves(
        () -> Kinds.Exits.allocates(Integer.MAX_VALUE),
        OutOfMemoryError.class,
        "Exits#allocates(I)[J",
        Integer.MAX_VALUE);
    String throwsIt = "Exits#throwsIt(Ljava/lang/RuntimeException;)V";
    // Throwing null throws a NullPointerException instead.
    leaves(() -> Kinds.Exits.throwsIt(null), NullPointerException.class, throwsIt, (Object) null);
    // An exception of an anonymous class.
    RuntimeException nameless = new RuntimeException() {};
    leaves(() -> Kinds.Exits.throwsIt(nameless), nameless.getClass(), throwsIt, nameless);
  }

  /** Overflows the stack, then makes a normal call. */
  private Expected overflow() {
    Kinds.Exits.depth = 0;
    check(thrown(() -> Kinds.Exits.overflows(0)) instanceof StackOverflowError);
    expected.call(Kinds.Types.anInt(77), "Types#anInt(I)I", 77);
    return expected;
  }

  // ---- shared by several calls ----

  interface Action {
    void run() throws Throwable;
  }

  private static Throwable thrown(Action action) {
    try {
      action.run();
    } catch (Throwable e) {
      return e;
    }
    throw new AssertionError("nothing was thrown");
  }

  private static void check(boolean holds) {
    if (!holds) {
      throw new AssertionError();
    }
  }

  /** Makes a call that must throw this exception, and expects its events. */
  private void leaves(
      Action action, Class<? extends Throwable> exception, String method, Object... arguments) {
    check(thrown(action).getClass() == exception);
    expected.entry(method, arguments);
    expected.threw(method, exception);
  }

  private void refused(String why) {
    expected.entry("Exits#refuse(Ljava/lang/String;)I", why);
    expected.threw("Exits#refuse(Ljava/lang/String;)I", IllegalArgumentException.class);
  }

  private void leavesAfterRefusal(
      Action action, String method, Class<? extends Throwable> exception) {
    check(thrown(action).getClass() == exception);
    expected.entry("Exits#" + method + "(Ljava/lang/String;)I", "a");
    refused("a");
    expected.threw("Exits#" + method + "(Ljava/lang/String;)I", exception);
  }
}
