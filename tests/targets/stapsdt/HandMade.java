// SPDX-License-Identifier: Apache-2.0

import static io.jprobe.stapsdt.ArgumentType.DOUBLE;
import static io.jprobe.stapsdt.ArgumentType.INT64;
import static io.jprobe.stapsdt.ArgumentType.STRING;

import io.jprobe.stapsdt.ArgumentType;
import io.jprobe.stapsdt.Probe;
import io.jprobe.stapsdt.Provider;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A program with user-defined probes, which it fires through every method of the API.
 *
 * <p>Commands on stdin, one per line: {@code run} fires a prime number of times from four threads;
 * {@code every} fires each form of fire once; {@code narrow} fires values that are wider than their
 * argument types; {@code texts} fires strings of all kinds; {@code add} adds a probe after the
 * start and {@code later} fires it; {@code close} closes the provider and fires once more. Each
 * command is answered with a line. Any other line exits. Prints "ready" first.
 */
public class HandMade {
  static final int CALLS = 10_007;
  static final int THREADS = 4;

  static final Map<Class<?>, ArgumentType> TYPES =
      Map.of(long.class, INT64, double.class, DOUBLE, String.class, STRING);

  public static void main(String[] arguments) throws Exception {
    Provider orders = Provider.create("orders");
    Probe placed = orders.addProbe("placed", INT64, STRING);
    Probe narrow = orders.addProbe("narrow", ArgumentType.values());
    Probe text = orders.addProbe("text", STRING);
    Map<Probe, Method> forms = addForms(orders);
    orders.load();
    Probe later = null;
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null; ) {
      switch (command) {
        case "run":
          run(placed);
          break;
        case "every":
          fireForms(forms);
          break;
        case "narrow":
          narrow.fire(
              -1, -129, 'ÿ' + 65536, 98_304, -2L, 1L << 31, -3L, -4L, 1 / 3.0, 1 / 3.0, "x");
          break;
        case "texts":
          for (String one : texts()) {
            text.fire(one);
          }
          break;
        case "add":
          later = orders.addProbe("later", INT64);
          orders.load();
          break;
        case "later":
          for (int i = 0; i < CALLS; i++) {
            later.fire(i);
          }
          break;
        case "close":
          orders.close();
          try {
            placed.fire(1, "late");
          } catch (IllegalStateException e) {
            System.out.println(e.getMessage());
            continue;
          }
          break;
        default:
          return;
      }
      System.out.println("did " + command);
    }
  }

  /**
   * Returns one probe for each form of fire, named "form_" and the initials of its parameter types.
   */
  static Map<Probe, Method> addForms(Provider provider) {
    Map<Probe, Method> forms = new LinkedHashMap<>();
    for (Method method : Probe.class.getMethods()) {
      if (method.getName().equals("fire") && !method.isVarArgs()) {
        StringBuilder name = new StringBuilder("form_");
        List<ArgumentType> types = new ArrayList<>();
        for (Class<?> type : method.getParameterTypes()) {
          name.append(type.getSimpleName().charAt(0));
          types.add(TYPES.get(type));
        }
        forms.put(provider.addProbe(name.toString(), types.toArray(new ArgumentType[0])), method);
      }
    }
    return forms;
  }

  static void fireForms(Map<Probe, Method> forms) throws Exception {
    for (Map.Entry<Probe, Method> form : forms.entrySet()) {
      Class<?>[] types = form.getValue().getParameterTypes();
      Object[] values = new Object[types.length];
      for (int i = 0; i < types.length; i++) {
        if (types[i] == long.class) {
          values[i] = -1_000_000_007L * (i + 1);
        } else if (types[i] == double.class) {
          values[i] = i + 0.1;
        } else {
          values[i] = "text " + i;
        }
      }
      form.getValue().invoke(form.getKey(), values);
    }
  }

  /**
   * Returns the strings that a test expects: plain, null, empty, beyond the basic plane, with a
   * NUL, with the limit inside a character, and a lone surrogate.
   */
  static String[] texts() {
    return new String[] {
      "für Rīga", null, "", "\ud83d\ude00", "a\0b", "x" + "ß".repeat(600), "\ud800"
    };
  }

  static void run(Probe placed) throws Exception {
    Thread[] threads = new Thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
      int first = i;
      threads[i] = start(i % 2 == 0, () -> fire(placed, first));
    }
    for (Thread thread : threads) {
      thread.join();
    }
  }

  /** Starts a thread: a virtual one if requested and available. */
  static Thread start(boolean virtual, Runnable task) throws Exception {
    if (virtual) {
      try {
        return (Thread)
            Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, task);
      } catch (NoSuchMethodException e) {
        // JDKs before 21 have no virtual threads.
      }
    }
    Thread thread = new Thread(task);
    thread.start();
    return thread;
  }

  static void fire(Probe placed, int first) {
    for (int i = first; i < CALLS; i += THREADS) {
      placed.fire(i, "order " + i % 7);
      if (i % 512 < THREADS) {
        // Lets the tracer keep up on a loaded machine, because the counts must be exact.
        Thread.yield();
      }
    }
  }
}
