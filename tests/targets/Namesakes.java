// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * Methods and classes whose names differ only in characters other than letters, digits and
 * underscores. Commands on stdin, one per line: {@code run} calls every method once, and the first
 * one twice; {@code exit} exits.
 */
public class Namesakes {
  /** Methods named like the numbered names of others. */
  static class Alike {
    static void f() {}

    static void f(int a) {}

    static void f(long a) {}

    static void f__2() {}

    static void f__2(int a) {}

    static void f__4() {}

    static void f__return() {}

    static void f__2__entry() {}

    static void entry() {}

    static void init() {}

    static void init__2() {}

    static void a$b() {}

    static void a_b() {}

    static void ä() {}

    static void ö() {}

    static void __() {}
  }

  static class Alike_ {
    static void f() {}

    static void f__2() {}
  }

  static class Alike$ {
    static void f() {}

    static void f__2() {}
  }

  static void run() {
    Alike.f();
    Alike.f();
    Alike.f(1);
    Alike.f(1L);
    Alike.f__2();
    Alike.f__2(1);
    Alike.f__4();
    Alike.f__return();
    Alike.f__2__entry();
    Alike.entry();
    Alike.init();
    Alike.init__2();
    Alike.a$b();
    Alike.a_b();
    Alike.ä();
    Alike.ö();
    Alike.__();
    new Alike();
    Alike_.f();
    Alike_.f__2();
    Alike$.f();
    Alike$.f__2();
  }

  public static void main(String[] arguments) throws Exception {
    run();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command = ""; !"exit".equals(command); command = commands.readLine()) {
      if (command.equals("run")) {
        run();
        System.out.println("done");
      }
    }
  }
}
