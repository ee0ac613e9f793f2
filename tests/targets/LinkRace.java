// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Scanner;

/**
 * Links large classes, each in its own loader, while the agent arms them.
 *
 * <p>Arguments: the class file of a class Large, whose methods first and last return their
 * argument, and the number of classes to define from it. Prints "ready" when they are loaded. After
 * a line on stdin, links them and prints "linked" with the number of classes that returned the
 * correct values. A second line exits.
 */
public class LinkRace {
  private static final class Loader extends ClassLoader {
    Loader() {
      super(LinkRace.class.getClassLoader());
    }

    Class<?> define(byte[] bytes) {
      return defineClass("Large", bytes, 0, bytes.length);
    }
  }

  public static void main(String[] arguments) throws Exception {
    byte[] bytes = Files.readAllBytes(Path.of(arguments[0]));
    List<Class<?>> classes = new ArrayList<>();
    for (int left = Integer.parseInt(arguments[1]); left > 0; left--) {
      classes.add(new Loader().define(bytes));
    }
    // The order must differ from the agent's.
    Collections.shuffle(classes, new Random(1));
    Scanner in = new Scanner(System.in);
    System.out.println("ready");
    in.nextLine();
    int right = 0;
    for (Class<?> type : classes) {
      right += call(type, "first", right) && call(type, "last", right) ? 1 : 0;
    }
    System.out.println("linked " + right);
    in.nextLine();
  }

  private static boolean call(Class<?> type, String method, int number) throws Exception {
    return (int) type.getMethod(method, int.class).invoke(null, number) == number;
  }
}
