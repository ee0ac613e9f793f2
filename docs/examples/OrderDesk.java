// SPDX-License-Identifier: Apache-2.0

import static io.jprobe.stapsdt.ArgumentType.DOUBLE;
import static io.jprobe.stapsdt.ArgumentType.INT64;
import static io.jprobe.stapsdt.ArgumentType.STRING;

import io.jprobe.stapsdt.Probe;
import io.jprobe.stapsdt.Provider;
import io.jprobe.stapsdt.StapsdtException;

/**
 * Takes an order every 100 ms, or at the interval in ms that is its argument, and fires a probe for
 * it.
 */
public class OrderDesk {
  private final Probe placed;
  private final Probe refused;

  OrderDesk(Provider orders) {
    placed = orders.addProbe("placed", INT64, STRING, DOUBLE);
    refused = orders.addProbe("refused", INT64, STRING);
  }

  void take(long id, String city, double amount) {
    if (amount <= 0) {
      // Composing the text is expensive, so it is done only while a tracer is attached.
      if (refused.isEnabled()) {
        refused.fire(id, "an amount of " + amount);
      }
      return;
    }
    placed.fire(id, city, amount);
  }

  public static void main(String[] arguments) throws StapsdtException, InterruptedException {
    int pause = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 100;
    String[] cities = {"Riga", "Kraków", "São Paulo"};
    try (Provider orders = Provider.create("orders")) {
      OrderDesk desk = new OrderDesk(orders);
      orders.load();
      System.out.println("PID " + ProcessHandle.current().pid());
      for (long id = 1; ; id++) {
        desk.take(id, cities[(int) (id % 3)], id % 10 == 0 ? 0 : 0.25 * id);
        Thread.sleep(pause);
      }
    }
  }
}
