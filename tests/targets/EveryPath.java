// SPDX-License-Identifier: Apache-2.0

import io.jprobe.layout.AbsenceLayout;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;

/**
 * Calls methods whose selectors capture paths and have conditions, in a thread named "caller".
 * Prints the expected events and the number of filtered calls as JSON. The selectors are in
 * tests/integration/test_every_kind.py.
 *
 * <p>Commands on stdin, one per line: {@code run} makes all calls and prints a JSON object; {@code
 * exit} exits. Prints "ready" first, when all classes are loaded.
 */
public class EveryPath {
  enum State {
    OPEN,
    CLOSED
  }

  static class City {
    private final String name;
    private final int zip;

    City(String name, int zip) {
      this.name = name;
      this.zip = zip;
    }
  }

  static class Customer {
    static int asked;

    private final City city;
    private final String written;

    Customer(City city, String written) {
      this.city = city;
      this.written = written;
    }

    String getLabel() {
      asked++;
      return written;
    }

    boolean isRich() {
      return written.length() > 3;
    }

    City broken() {
      throw new IllegalStateException("nobody may see this");
    }
  }

  static class Numbered {
    private final long id;

    Numbered(long id) {
      this.id = id;
    }
  }

  static class Order extends Numbered {
    private boolean urgent = true;
    private byte tiny = -1;
    private short medium = Short.MIN_VALUE;
    private char mark = '\ud83d';
    private float ratio = -0f;
    private double exact = Double.NaN;
    private final int[] counts = {1, 2, 3};
    final List<String> lines = new ArrayList<>(List.of("a", "b"));
    Customer customer;
    State state;

    Order(long id, Customer customer, State state) {
      super(id);
      this.customer = customer;
      this.state = state;
    }

    Customer customer() {
      return customer;
    }

    /**
     * Changes the order after its values were captured at entry. The return event must not show the
     * changes.
     */
    void change() {
      urgent = !urgent;
      tiny++;
      medium++;
      mark++;
      ratio++;
      exact = 1;
      customer = null;
    }
  }

  /** Exception whose message cannot be read. */
  static class Refusal extends RuntimeException {
    private static final long serialVersionUID = 1;

    @Override
    public String getMessage() {
      throw new UnsupportedOperationException();
    }
  }

  interface Shop {
    default int opened(Order order) {
      return order.lines.size();
    }

    List<String> shelves();
  }

  static class Captured implements Shop {
    private final String shop;
    private final int size;

    Captured(String shop) {
      this.shop = shop;
      this.size = shop.length();
    }

    @Override
    public List<String> shelves() {
      return List.of(shop);
    }

    static void fields(Order order) {
      if (order != null) {
        order.change();
      }
    }

    static long getters(Order order, String text) {
      return 5;
    }

    static int broken(Order order) {
      return 6;
    }

    int self(int add) {
      return size + add;
    }

    static Order find(Order order) {
      return order.state == State.CLOSED ? null : order;
    }

    static void fail(RuntimeException exception) {
      if (exception != null) {
        throw exception;
      }
    }

    static boolean threads() {
      return true;
    }

    static String boxed(Integer number) {
      return number + "!";
    }

    static void named(Order order, long extra) {}
  }

  static class Gated {
    static int early(int number, String word) {
      return number;
    }

    static boolean returning(int number) {
      if (number % 5 == 0) {
        throw new IllegalArgumentException();
      }
      return number % 2 == 0;
    }

    static void failing(int number) {
      if (number % 3 == 0) {
        throw new Refusal();
      } else if (number % 3 == 1) {
        throw new IllegalStateException();
      }
    }

    static void slow(int millis) throws InterruptedException {
      Thread.sleep(millis);
    }

    static void slowAndRare(int millis) throws InterruptedException {
      Thread.sleep(millis);
    }

    static int every(int number) {
      return -number;
    }

    static void limited(int number) {}

    static void open(Order order) {}

    static void notOpen(Order order) {}

    static void stateless(Order order) {}

    static void decimal(double one, float other) {}

    static void text(char mark, String word) {}

    static void picked(int number, Order order) {}

    static int nested(int levels) {
      return levels == 0 ? 0 : 1 + nested(levels - 1);
    }

    static void here(int number) {}

    static int late(int number) {
      return number * number;
    }
  }

  private final Expected expected = new Expected("EveryPath$", 1_024);

  public static void main(String[] arguments) throws Exception {
    new Captured("shop");
    new Gated();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {
      EveryPath calls = new EveryPath();
      Thread caller = new Thread(calls::all, "caller");
      caller.start();
      caller.join();
      System.out.println(
          "{\"thread\":"
              + caller.getId()
              + ",\"events\":"
              + Expected.json(calls.expected.events())
              + ",\"held\":"
              + Expected.json(calls.expected.held())
              + "}");
    }
  }

  private void all() {
    try {
      fields();
      getters();
      brokenGetters();
      self();
      returnValues();
      exceptions();
      others();
      decidedAtTheBeginning();
      decidedAtTheEnd();
      byDuration();
      picked();
      limited();
    } catch (Exception | Error e) {
      e.printStackTrace();
    }
  }

  private static Customer customer(String city) {
    return new Customer(new City(city, 1050), "label");
  }

  // ---- captures; absent: bit i is set if value i met a null, bit 16 + i if reading it threw ----

  private void fields() {
    String method = "Captured#fields(LEveryPath$Order;)V";
    Order[] orders = {
      new Order(-7, customer("Rīga"), null),
      new Order(Long.MAX_VALUE, customer(null), null),
      new Order(0, new Customer(null, ""), null),
      new Order(1, null, null)
    };
    for (Order order : orders) {
      City city = order.customer == null ? null : order.customer.city;
      for (String kind : new String[] {"entry", "return"}) {
        expected.captured(
            method,
            kind,
            "id:long",
            ((Numbered) order).id,
            "urgent:boolean",
            true,
            "b:byte",
            -1,
            "s:short",
            Short.MIN_VALUE,
            "c:char",
            '\ud83d',
            "f:float",
            -0f,
            "d:double",
            Double.NaN,
            "zip:int",
            city == null ? 0 : 1050,
            "name:java.lang.String",
            city == null ? null : city.name,
            "absent:int",
            city == null ? 0b1_1000_0000 : 0);
      }
      Captured.fields(order);
    }
    for (String kind : new String[] {"entry", "return"}) {
      expected.captured(
          method,
          kind,
          "id:long",
          0,
          "urgent:boolean",
          false,
          "b:byte",
          0,
          "s:short",
          0,
          "c:char",
          '\0',
          "f:float",
          0f,
          "d:double",
          0.0,
          "zip:int",
          0,
          "name:java.lang.String",
          null,
          "absent:int",
          0b1_1111_1111);
    }
    Captured.fields(null);
  }

  private void getters() {
    String method = "Captured#getters(LEveryPath$Order;Ljava/lang/String;)J";
    Order order = new Order(1, customer("Cēsis"), State.CLOSED);
    int asked = Customer.asked;
    Captured.getters(order, "text");
    // The getter runs once per call, although two events carry its value.
    check(Customer.asked == asked + 1);
    Object[] values = {
      "label:java.lang.String",
      "label",
      "rich:boolean",
      true,
      "city:EveryPath$City",
      order.customer.city,
      "size:int",
      2,
      "counts:int[]",
      order.counts,
      "length:int",
      3,
      "text:int",
      4,
      "state:java.lang.String",
      "CLOSED",
      "absent:int",
      0
    };
    expected.captured(method, "entry", values);
    // The return value precedes the captured values, so the bits of the captured values move up by
    // one.
    expected.captured(method, "return", with(values, "return:long", 5));

    order.customer = null;
    order.state = null;
    Captured.getters(order, null);
    values =
        new Object[] {
          "label:java.lang.String",
          null,
          "rich:boolean",
          false,
          "city:EveryPath$City",
          null,
          "size:int",
          2,
          "counts:int[]",
          order.counts,
          "length:int",
          3,
          "text:int",
          0,
          "state:java.lang.String",
          null,
          "absent:int",
          0b1100_0111
        };
    expected.captured(method, "entry", values);
    values[values.length - 1] = 0b1_1000_1110;
    expected.captured(method, "return", with(values, "return:long", 5));
  }

  /** Returns the values with two more before them. */
  private static Object[] with(Object[] values, Object... first) {
    List<Object> all = new ArrayList<>(List.of(first));
    all.addAll(java.util.Arrays.asList(values));
    return all.toArray();
  }

  private void brokenGetters() {
    String method = "Captured#broken(LEveryPath$Order;)I";
    Order order = new Order(9, new Customer(null, null), null);
    Captured.broken(order);
    Object[] values = {
      "bad:EveryPath$City",
      null,
      "id:long",
      9L,
      "further:java.lang.String",
      null,
      "rich:boolean",
      false,
      "absent:int",
      0b1101 << AbsenceLayout.THREW_SHIFT
    };
    expected.captured(method, "entry", values);
    values[values.length - 1] = 0b1_1010 << AbsenceLayout.THREW_SHIFT;
    expected.captured(method, "return", with(values, "return:int", 6));

    Captured.broken(null);
    values[3] = 0L;
    values[values.length - 1] = 0b1111;
    expected.captured(method, "entry", values);
    values[values.length - 1] = 0b1_1110;
    expected.captured(method, "return", with(values, "return:int", 6));
  }

  private void self() {
    String constructor = "Captured#<init>(Ljava/lang/String;)V";
    Captured captured = new Captured("Ābols");
    expected.captured(
        constructor, "entry", "arg0:java.lang.String", "Ābols", "length:int", 5, "absent:int", 0);
    // The constructor's entry has no this.
    expected.captured(
        constructor,
        "return",
        "shop:java.lang.String",
        "Ābols",
        "size:int",
        5,
        "arg0:java.lang.String",
        "Ābols",
        "length:int",
        5,
        "absent:int",
        0);
    try {
      new Captured(null);
    } catch (NullPointerException e) {
      expected.captured(
          constructor, "entry", "arg0:java.lang.String", null, "length:int", 0, "absent:int", 0b10);
      expected.captured(
          constructor,
          "throw",
          "exception:java.lang.String",
          "java.lang.NullPointerException",
          "arg0:java.lang.String",
          null,
          "length:int",
          0,
          "absent:int",
          0b100);
    }

    captured.self(2);
    Object[] values = {
      "this:EveryPath$Captured", captured,
      "this.shop:java.lang.String", "Ābols",
      "size:int", 5,
      "add:int", 2,
      "absent:int", 0
    };
    expected.captured("Captured#self(I)I", "entry", values);
    expected.captured("Captured#self(I)I", "return", with(values, "return:int", 7));

    Order order = new Order(1, null, null);
    captured.opened(order);
    values = new Object[] {"shelves:int", 1, "absent:int", 0};
    expected.captured("Shop#opened(LEveryPath$Order;)I", "entry", values);
    expected.captured("Shop#opened(LEveryPath$Order;)I", "return", with(values, "return:int", 2));
  }

  private void returnValues() {
    String method = "Captured#find(LEveryPath$Order;)LEveryPath$Order;";
    Order order = new Order(3, customer("Liepāja"), State.OPEN);
    Captured.find(order);
    expected.captured(method, "entry", "id:long", 3, "absent:int", 0);
    expected.captured(
        method,
        "return",
        "found:java.lang.String",
        "Liepāja",
        "return:EveryPath$Order",
        order,
        "id:long",
        3,
        "absent:int",
        0);
    order.state = State.CLOSED;
    Captured.find(order);
    expected.captured(method, "entry", "id:long", 3, "absent:int", 0);
    expected.captured(
        method,
        "return",
        "found:java.lang.String",
        null,
        "return:EveryPath$Order",
        null,
        "id:long",
        3,
        "absent:int",
        0b1);
    try {
      Captured.find(null);
    } catch (NullPointerException e) {
      expected.captured(method, "entry", "id:long", 0, "absent:int", 0b1);
      expected.captured(
          method,
          "throw",
          "exception:java.lang.String",
          "java.lang.NullPointerException",
          "id:long",
          0,
          "absent:int",
          0b10);
    }
  }

  private void exceptions() {
    String method = "Captured#fail(Ljava/lang/RuntimeException;)V";
    RuntimeException[] exceptions = {
      new IllegalStateException("why", new Exception("therefore")),
      new IllegalStateException("x".repeat(2_000)),
      new IllegalArgumentException((String) null),
      new Refusal(),
    };
    for (RuntimeException exception : exceptions) {
      try {
        Captured.fail(exception);
      } catch (RuntimeException e) {
        boolean refusal = e instanceof Refusal;
        expected.captured(method, "entry");
        expected.captured(
            method,
            "throw",
            "exception:java.lang.String",
            e.getClass().getName(),
            "why:java.lang.String",
            refusal ? null : e.getMessage(),
            "cause:java.lang.String",
            e.getCause() == null ? null : "therefore",
            "absent:int",
            (refusal ? 1 << 17 : 0) | (e.getCause() == null ? 0b100 : 0));
      }
    }
    Captured.fail(null);
    expected.captured(method, "entry");
    expected.captured(method, "return");
  }

  private void others() {
    Captured.threads();
    Object[] values = {
      "thread.name:java.lang.String", "caller", "virtual:boolean", false, "absent:int", 0
    };
    expected.captured("Captured#threads()Z", "entry", values);
    expected.captured("Captured#threads()Z", "return", with(values, "return:boolean", true));

    Integer number = -70_000;
    Captured.boxed(number);
    String boxed = "Captured#boxed(Ljava/lang/Integer;)Ljava/lang/String;";
    values =
        new Object[] {
          "arg0:java.lang.Integer",
          number,
          "n:int",
          -70_000,
          "digits:java.lang.String",
          "-70000",
          "absent:int",
          0
        };
    expected.captured(boxed, "entry", values);
    expected.captured(boxed, "return", with(values, "return:java.lang.String", "-70000!"));

    Captured.named(new Order(77, null, null), -1);
    values = new Object[] {"order.id:long", 77, "extra:long", -1, "absent:int", 0};
    expected.captured("Captured#named(LEveryPath$Order;J)V", "entry", values);
    expected.captured("Captured#named(LEveryPath$Order;J)V", "return", values);
  }

  // ---- conditions ----

  /**
   * Expects the events of a void method without captured values, or counts the call as filtered.
   */
  private void decide(boolean fires, String method, Object... arguments) {
    if (fires) {
      expected.run(method, arguments);
    } else {
      expected.heldBack(method, "entry", "return");
    }
  }

  private void decidedAtTheBeginning() throws InterruptedException {
    for (int i = 5; i < 16; i++) {
      for (String word : new String[] {"skip", "sk" + "ip ", "", null}) {
        String method = "Gated#early(ILjava/lang/String;)I";
        Gated.early(i, word);
        if (i >= 10 && !"skip".equals(word)) {
          expected.call(i, method, i, word);
        } else {
          expected.heldBack(method, "entry", "return");
        }
      }
    }

    // A path that meets a null satisfies no comparison except one with null.
    Order[] orders = {
      new Order(1, null, State.OPEN),
      new Order(2, null, State.CLOSED),
      new Order(3, null, null),
      null
    };
    for (Order order : orders) {
      State state = order == null ? null : order.state;
      Gated.open(order);
      decide(state == State.OPEN, "Gated#open(LEveryPath$Order;)V", order);
      Gated.notOpen(order);
      decide(state == State.CLOSED, "Gated#notOpen(LEveryPath$Order;)V", order);
      Gated.stateless(order);
      decide(state == null, "Gated#stateless(LEveryPath$Order;)V", order);
    }

    for (double one : new double[] {1.25, 1.5, Double.NaN, Double.NEGATIVE_INFINITY}) {
      for (float other : new float[] {2.25f, 2.5f, Float.NaN}) {
        Gated.decimal(one, other);
        decide(one < 1.5 && !(other >= 2.5), "Gated#decimal(DF)V", one, other);
      }
    }

    for (char mark : new char[] {'x', 'y', 'ž'}) {
      for (String word : new String[] {"a\"b;#c, d", "a\"b"}) {
        Gated.text(mark, word);
        decide(
            (mark == 'x' || mark > 0x7f) && word.equals("a\"b;#c, d"),
            "Gated#text(CLjava/lang/String;)V",
            mark,
            word);
      }
    }

    for (int i = 0; i < 3; i++) {
      int number = i;
      Gated.here(i);
      decide(true, "Gated#here(I)V", i);
      Thread elsewhere = new Thread(() -> Gated.here(number), "elsewhere");
      elsewhere.start();
      elsewhere.join();
      decide(false, "Gated#here(I)V", i);
    }
  }

  /**
   * Tests conditions on the outcome, which is unknown at entry: these methods have no entry probes.
   */
  private void decidedAtTheEnd() {
    for (int i = 0; i < 12; i++) {
      String method = "Gated#returning(I)Z";
      try {
        boolean even = Gated.returning(i);
        if (even) {
          expected.returned(method, true);
        } else {
          expected.heldBack(method, "return");
        }
      } catch (IllegalArgumentException e) {
        expected.heldBack(method, "throw");
      }
    }

    for (int i = 0; i < 12; i++) {
      String method = "Gated#failing(I)V";
      try {
        Gated.failing(i);
        expected.heldBack(method, "return");
      } catch (Refusal e) {
        expected.threw(method, Refusal.class);
      } catch (IllegalStateException e) {
        expected.heldBack(method, "throw");
      }
    }

    for (int i = 0; i < 8; i++) {
      int square = Gated.late(i);
      if (i != 5 && square > 10) {
        expected.captured("Gated#late(I)I", "return", "square:int", square, "number:int", i);
      } else {
        expected.heldBack("Gated#late(I)I", "return");
      }
    }
  }

  /**
   * Tests conditions on the duration. A sleep lasts at least the requested time, and a sleep of 0
   * ms almost never lasts 20 ms.
   */
  private void byDuration() throws InterruptedException {
    for (int i = 0; i < 24; i++) {
      int millis = i % 8 == 3 ? 21 : 0;
      Gated.slow(millis);
      if (millis > 0) {
        expected.returned("Gated#slow(I)V");
      } else {
        expected.heldBack("Gated#slow(I)V", "return");
      }
    }
    int slow = 0;
    for (int i = 0; i < 24; i++) {
      int millis = i % 4 == 0 ? 21 : 0;
      Gated.slowAndRare(millis);
      // Every second slow call fires, starting with the first.
      if (millis > 0 && slow++ % 2 == 0) {
        expected.returned("Gated#slowAndRare(I)V");
      } else {
        expected.heldBack("Gated#slowAndRare(I)V", "return");
      }
    }
  }

  private void picked() {
    for (int i = 0; i < 100; i++) {
      Gated.every(i);
      if (i % 7 == 0) {
        expected.call(-i, "Gated#every(I)I", i);
      } else {
        expected.heldBack("Gated#every(I)I", "entry", "return");
      }
    }

    // Every third call that satisfies the condition fires. The getter does not run in the other
    // calls.
    String method = "Gated#picked(ILEveryPath$Order;)V";
    Order order = new Order(1, customer(null), null);
    int asked = Customer.asked;
    int fired = 0;
    for (int i = 0; i < 50; i++) {
      Gated.picked(i, order);
      if (i > 5 && (i - 6) % 3 == 0) {
        fired++;
        for (String kind : new String[] {"entry", "return"}) {
          expected.captured(method, kind, "label:java.lang.String", "label", "absent:int", 0);
        }
      } else {
        expected.heldBack(method, "entry", "return");
      }
    }
    check(Customer.asked == asked + fired);

    // The decision at entry applies to the whole call: each entry has its return.
    Gated.nested(10);
    for (int levels = 10; levels >= 0; levels--) {
      if (levels % 2 == 0) {
        expected.entry("Gated#nested(I)I", levels);
      } else {
        expected.heldBack("Gated#nested(I)I", "entry", "return");
      }
    }
    for (int levels = 0; levels <= 10; levels += 2) {
      expected.returned("Gated#nested(I)I", levels);
    }
  }

  /**
   * Tests a rate limit: the first calls of each second fire. Each burst is made within one second.
   */
  private void limited() {
    for (int burst = 0; burst < 2; burst++) {
      long second = System.nanoTime() / 1_000_000_000;
      while (System.nanoTime() / 1_000_000_000 == second) {
        Thread.onSpinWait();
      }
      for (int i = 0; i < 20; i++) {
        Gated.limited(i);
        decide(i < 5, "Gated#limited(I)V", i);
      }
      check(System.nanoTime() / 1_000_000_000 == second + 1);
    }
  }

  private static void check(boolean holds) {
    if (!holds) {
      throw new AssertionError();
    }
  }
}
