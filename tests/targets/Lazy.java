// SPDX-License-Identifier: Apache-2.0
package com.acme.lazy;

/**
 * Reports on stdout that a class is initialized. The program uses the classes of this file late or
 * never.
 */
class Initialised {
  static void say(Class<?> type) {
    System.out.println("initialised " + type.getSimpleName());
  }
}

@interface Marked {}

class Secret {
  static {
    Initialised.say(Secret.class);
  }

  private String word;
  private Deeper deeper;
  private Mood mood;

  enum Mood {
    GOOD,
    BAD
  }

  static class Deeper {
    private int depth;
  }
}

class Base {
  void run() {}
}

@Marked
class Used extends Base {
  static int calls;

  static {
    Initialised.say(Used.class);
  }

  int look(Secret secret) {
    return secret == null ? 7 : 8;
  }

  @Marked
  @Override
  void run() {}
}

class Unused extends Base {
  static {
    Initialised.say(Unused.class);
  }

  void never(Secret secret) {}
}

class Loaded extends Base {
  static {
    Initialised.say(Loaded.class);
  }

  static final Secret SECRET = new Secret();

  void seldom(Secret secret) {}
}

/**
 * Loads one class without initializing it. Commands on stdin, one per line: {@code exit} exits; any
 * other line calls Used.look without a Secret and prints "looked" with the result. Prints "ready"
 * first.
 */
public class Lazy {
  public static void main(String[] arguments) throws Exception {
    Class.forName("com.acme.lazy.Loaded", false, Lazy.class.getClassLoader());
    Used used = new Used();
    used.run();
    System.out.println("ready");
    for (java.util.Scanner commands = new java.util.Scanner(System.in); commands.hasNextLine(); ) {
      if (commands.nextLine().equals("exit")) {
        return;
      }
      System.out.println("looked " + used.look(null));
    }
  }
}
