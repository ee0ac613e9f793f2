// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.Charset;
import java.security.Provider;
import java.security.Security;
import java.util.Locale;
import java.util.TreeMap;

/**
 * Prints the state that a program finds when its main method begins and that other code may have
 * changed before, one item per line. Then runs until the end of stdin. The threads come first,
 * because reading the other items may start some.
 */
public class AsStarted {
  public static void main(String[] arguments) throws Exception {
    Thread[] threads = new Thread[100];
    int count = Thread.enumerate(threads);
    for (int i = 0; i < count; i++) {
      String kind = threads[i].isDaemon() ? "daemon " : "";
      System.out.println(kind + "thread " + threads[i].getName());
    }
    Thread main = Thread.currentThread();
    System.out.println("uncaught: " + Thread.getDefaultUncaughtExceptionHandler());
    System.out.println("loader: " + main.getContextClassLoader().getClass().getName());
    System.out.println("assertions: " + AsStarted.class.desiredAssertionStatus());
    System.out.println("streams: " + System.in.getClass() + System.out.getClass());
    System.out.println(
        "priority: " + main.getPriority() + " in " + main.getThreadGroup().getName());
    new TreeMap<>(System.getProperties())
        .forEach((name, value) -> System.out.println(name + "=" + value));
    System.out.println("locale: " + Locale.getDefault() + ", " + Charset.defaultCharset());
    // Takes effect only if no code has read the providers before.
    Security.setProperty("security.provider.1", "SunJCE");
    for (Provider provider : Security.getProviders()) {
      System.out.println("provider: " + provider.getName());
    }
    System.out.println("ready");
    while (System.in.read() >= 0) {}
  }
}
