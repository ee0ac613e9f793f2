// SPDX-License-Identifier: Apache-2.0

import java.math.BigDecimal;
import java.time.LocalDate;
import java.util.List;
import java.util.Scanner;

/**
 * Numbers, dates and names whose text depends on the default locale for code that does not take
 * care. The names have an I, of which Turkish has two.
 *
 * <p>Prints first, as numbers, the first character of 7 and of "I" in lower case as the default
 * locale writes them. Commands on stdin, one per line: {@code call} makes all calls and prints
 * "called"; {@code exit} exits.
 */
public class Tariff {
  enum Kind {
    INLAND,
    INTERNATIONAL
  }

  static class Item {
    private final int id;
    private final String title;

    Item(int id, String title) {
      this.id = id;
      this.title = title;
    }

    int getId() {
      return id;
    }

    String getInitial() {
      return title.substring(0, 1);
    }
  }

  static BigDecimal price(Item item, BigDecimal amount, Double rate, long count, Kind kind) {
    return amount.multiply(BigDecimal.valueOf(rate));
  }

  static void list(List<Object> values) {}

  static void INVOICE(int IDENTITY) {}

  private static void call() {
    for (int i = 1; i <= 9; i++) {
      Item item = new Item(i, "ISTANBUL " + i);
      Kind kind = Kind.values()[i % 2];
      price(item, new BigDecimal("1234567.89"), 1234.5 * i, 1_234_567L * i, kind);
    }
    list(List.of(1_234_567, -12.75, 1e300, LocalDate.of(2024, 2, 29), new BigDecimal("-0.5")));
    INVOICE(1_000_000);
  }

  public static void main(String[] arguments) {
    int seven = String.format("%d", 7).charAt(0);
    System.out.println("ready " + seven + " " + (int) "I".toLowerCase().charAt(0));
    Scanner commands = new Scanner(System.in);
    while (commands.hasNextLine() && commands.nextLine().equals("call")) {
      call();
      System.out.println("called");
    }
  }
}
