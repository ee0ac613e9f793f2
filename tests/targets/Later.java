// SPDX-License-Identifier: Apache-2.0

import java.net.URL;
import java.net.URLClassLoader;
import java.util.HashMap;
import java.util.Map;
import java.util.Scanner;
import java.util.function.IntUnaryOperator;

/**
 * Loads classes on command, each in its own class loader, so that each can be unloaded.
 *
 * <p>Commands on stdin, one per line: {@code call CLASS FROM CALLS} loads the class if necessary,
 * calls its applyAsInt with FROM, FROM + 1, and so on, and prints "called"; {@code drop CLASS}
 * drops the references to the class and prints "dropped"; {@code collect} collects garbage and
 * prints "collected"; {@code exit} exits. Prints "ready" first.
 */
public class Later {
  public static class First implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return -number;
    }
  }

  public static class Second implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return 2 * number;
    }
  }

  public static class Third implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return 3 * number;
    }
  }

  private static final Map<String, IntUnaryOperator> loaded = new HashMap<>();

  private static IntUnaryOperator load(String name) {
    URL[] here = {Later.class.getProtectionDomain().getCodeSource().getLocation()};
    URLClassLoader loader = new URLClassLoader(here, ClassLoader.getPlatformClassLoader());
    try {
      return (IntUnaryOperator) loader.loadClass("Later$" + name).getConstructor().newInstance();
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void call(String name, int from, int calls) {
    IntUnaryOperator callee = loaded.computeIfAbsent(name, Later::load);
    for (int i = 0; i < calls; i++) {
      callee.applyAsInt(from + i);
    }
  }

  public static void main(String[] arguments) {
    System.out.println("ready");
    for (Scanner commands = new Scanner(System.in); commands.hasNextLine(); ) {
      String[] words = commands.nextLine().split(" ");
      switch (words[0]) {
        case "call":
          call(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
          System.out.println("called");
          break;
        case "drop":
          loaded.remove(words[1]);
          System.out.println("dropped");
          break;
        case "collect":
          System.gc();
          System.out.println("collected");
          break;
        default:
          return;
      }
    }
  }
}
