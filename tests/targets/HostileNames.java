// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.List;

/**
 * Defines classes whose names no compiler would write: with control characters, as long as the JVM
 * allows, like an option of a command, and as many in one package as the argument says. Prints
 * "ready", and exits at the end of its input.
 */
public class HostileNames {
  private static final class Loader extends ClassLoader {
    Class<?> define(String name) {
      byte[] file = GeneratedClass.named(name);
      return defineClass(null, file, 0, file.length);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Loader loader = new Loader();
    List<Class<?>> defined = new ArrayList<>();
    defined.add(loader.define("escapes.A\u001bB\u009bC\u202eD\nE\tF"));
    defined.add(loader.define("quotes.It's\"so\\"));
    defined.add(loader.define("long.L" + "x".repeat(60_000)));
    defined.add(loader.define("--json"));
    for (int i = 0; i < Integer.parseInt(arguments[0]); i++) {
      defined.add(loader.define("many.C" + i));
    }
    // Linked, as classes that a program uses are.
    for (Class<?> each : defined) {
      each.getDeclaredConstructors();
      Class.forName(each.getName(), true, loader);
    }
    System.out.println("ready");
    while (System.in.read() >= 0) {}
    System.exit(defined.isEmpty() ? 1 : 0);
  }
}
