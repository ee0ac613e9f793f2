// SPDX-License-Identifier: Apache-2.0

import java.util.Scanner;
import java.util.function.IntUnaryOperator;

/**
 * Loads a class without using it, so that the JVM does not link it.
 *
 * <p>Commands on stdin, one per line: {@code call N} calls the class's method N times and prints
 * "called"; {@code exit} exits. Prints "ready" first.
 */
public class Unlinked {
  public static class Guest implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Class<?> loaded = Class.forName("Unlinked$Guest", false, ClassLoader.getSystemClassLoader());
    System.out.println("ready");
    IntUnaryOperator guest = null;
    Scanner in = new Scanner(System.in);
    while (in.hasNext("call")) {
      in.next();
      if (guest == null) {
        guest = (IntUnaryOperator) loaded.getDeclaredConstructor().newInstance();
      }
      for (int left = in.nextInt(); left > 0; left--) {
        guest.applyAsInt(left);
      }
      System.out.println("called");
    }
  }
}
