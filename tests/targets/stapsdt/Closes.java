// SPDX-License-Identifier: Apache-2.0

import static io.jprobe.stapsdt.ArgumentType.INT64;
import static io.jprobe.stapsdt.ArgumentType.STRING;

import io.jprobe.stapsdt.Probe;
import io.jprobe.stapsdt.Provider;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Closes providers while eight threads fire their probes continuously.
 *
 * <p>Commands on stdin, one per line: {@code open N} creates N providers and prints "open"; {@code
 * close} closes them one by one and prints "closed" with the number of firings rejected so far;
 * {@code exit} exits. The program exits with code 1 if a thread gets any exception except that for
 * a closed provider.
 */
public class Closes {
  static final int THREADS = 8;

  static final AtomicLong refused = new AtomicLong();
  static volatile Probe[] probes = {};

  public static void main(String[] arguments) throws Exception {
    for (int i = 0; i < THREADS; i++) {
      Thread thread = new Thread(Closes::fireForEver);
      thread.setDaemon(true);
      thread.start();
    }
    List<Provider> providers = new ArrayList<>();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null; ) {
      if (command.startsWith("open ")) {
        open(providers, Integer.parseInt(command.substring(5)));
        System.out.println("open");
      } else if (command.equals("close")) {
        for (Provider provider : providers) {
          provider.close();
        }
        providers.clear();
        System.out.println("closed " + refused);
      } else {
        return;
      }
    }
  }

  static void open(List<Provider> providers, int count) throws Exception {
    Probe[] made = new Probe[count];
    for (int i = 0; i < count; i++) {
      Provider provider = Provider.create("closing");
      made[i] = provider.addProbe("fired", INT64, STRING);
      provider.load();
      providers.add(provider);
    }
    probes = made;
  }

  static void fireForEver() {
    try {
      for (long i = 0; ; i++) {
        for (Probe probe : probes) {
          try {
            if (i % 2 == 0 || probe.isEnabled()) {
              probe.fire(i, "text");
            }
          } catch (IllegalStateException e) {
            if (!e.getMessage().equals("the provider closing is closed")) {
              throw e;
            }
            refused.incrementAndGet();
          }
        }
      }
    } catch (Throwable e) {
      e.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
  }
}
