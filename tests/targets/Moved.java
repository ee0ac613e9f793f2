// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * Calls each method 100 times for each line "run" on stdin. Used for traces with other binary
 * layouts.
 */
public class Moved {
  static final int CALLS = 100;

  static long place(long id, String text, int a, int b, int c, double weight) {
    if (id % 10 == 9) {
      throw new IllegalStateException();
    }
    return 2 * id;
  }

  static void often(int number) {}

  static void limited() {}

  static void quick() {}

  /** An object on a captured path. */
  static final class Box {
    Box inner;
    int size;

    int weight() {
      if (size % 3 == 0) {
        throw new IllegalStateException();
      }
      return 2 * size;
    }
  }

  static void shelve(Box box) {}

  public static void main(String[] arguments) throws Exception {
    shelve(new Box());
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    while ("run".equals(commands.readLine())) {
      for (int i = 0; i < CALLS; i++) {
        try {
          place(i, i % 3 == 0 ? null : "text " + i, i + 1, -i, 7, i / 4.0);
        } catch (IllegalStateException expected) {
          // The throw probe has fired.
        }
        often(i);
        limited();
        quick();
        Box box = new Box();
        box.size = i;
        box.inner = i % 2 == 0 ? null : box;
        shelve(box);
      }
      System.out.println("done");
    }
  }
}
