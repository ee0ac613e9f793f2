// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Scanner;
import java.util.TreeMap;

/**
 * Passes objects of many classes to traced methods. All methods of its own classes that a careless
 * tracer would call exit the program.
 *
 * <p>Commands on stdin, one per line: {@code run} makes all calls and prints "did run"; {@code
 * exit} exits. Prints "ready" first.
 */
public class Values {
  enum State {
    PAID,
    OPEN {
      @Override
      public String toString() {
        throw trapped();
      }
    }
  }

  private static Error trapped() {
    Runtime.getRuntime().halt(3);
    return new AssertionError();
  }

  static class Trap {
    @Override
    public String toString() {
      throw trapped();
    }

    @Override
    public int hashCode() {
      throw trapped();
    }

    @Override
    public boolean equals(Object other) {
      throw trapped();
    }
  }

  static class OwnList extends ArrayList<Object> {
    private static final long serialVersionUID = 1;

    @Override
    public int size() {
      throw trapped();
    }
  }

  static class Order {
    final String name;
    private final State state;
    private final int[] counts = {7, 8};

    Order(String name, State state) {
      this.name = name;
      this.state = state;
    }
  }

  static class Config {
    static int limit = 5;
    private static Order first = new Order("first", State.OPEN);
  }

  static class Cold {
    static int value;

    static {
      trapped();
    }
  }

  static Object show(Object value) {
    return value;
  }

  static int elements(Order[] orders, Map<String, Object> map, List<?> list, Object any) {
    return orders.length;
  }

  static void paid(Object state) {}

  static void second(Object[] values) {}

  static void large(List<?> list) {}

  static void flagged(Map<String, ?> map) {}

  private static void run() {
    Map<Object, Object> map = new TreeMap<>(Map.of("id", 42L, "name", "n"));
    List<Object> itself = new ArrayList<>();
    itself.add(itself);
    Object[] shown = {
      1,
      2.5,
      "text",
      'c',
      null,
      true,
      State.OPEN,
      List.of(1, "x"),
      map,
      Optional.of(new Trap()),
      new StringBuilder("b"),
      new IllegalStateException("why"),
      itself,
      new Trap(),
      new OwnList(),
      new byte[] {1, -1},
      (Runnable) () -> {}
    };
    for (Object value : shown) {
      show(value);
    }
    Order[] orders = {new Order("a", State.PAID), new Order("b", State.OPEN)};
    Map<String, Object> values = new TreeMap<>(Map.of("id", 42L, "flag", true));
    elements(orders, values, Arrays.asList("x", State.PAID, new Trap()), orders[1]);
    elements(new Order[0], Map.of("id", "no"), new OwnList(), "no order");
    paid(State.PAID);
    paid(State.OPEN);
    paid("PAID");
    paid(new Trap());
    second(new Object[] {"x", "y"});
    second(new Object[] {"x", "z"});
    second(new Object[] {"x"});
    large(List.of(10));
    large(List.of(11));
    large(List.of("many"));
    flagged(values);
    flagged(Map.of("flag", false));
    flagged(Map.of());
  }

  public static void main(String[] arguments) {
    System.out.println("ready " + Config.limit);
    Scanner commands = new Scanner(System.in);
    while (commands.hasNextLine() && commands.nextLine().equals("run")) {
      run();
      System.out.println("did run");
    }
  }
}
