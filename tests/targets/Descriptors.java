// SPDX-License-Identifier: Apache-2.0

import java.io.FileInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Scanner;
import java.util.function.IntUnaryOperator;

/**
 * Uses up all file descriptors of its process.
 *
 * <p>Commands on stdin, one per line: {@code fill} opens files until the limit is reached; {@code
 * clear} closes them; {@code load} loads the class Late; {@code call N} calls it N times; {@code
 * exit} exits. Each other command prints its name when it is done. Prints "ready" first.
 */
public class Descriptors {
  public static class Early implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return number - 1;
    }
  }

  public static class Late implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  private static final List<FileInputStream> OPEN = new ArrayList<>();

  private static void fill() {
    try {
      while (true) {
        OPEN.add(new FileInputStream("/dev/null"));
      }
    } catch (IOException e) {
      // Expected: too many open files.
    }
  }

  private static void clear() throws IOException {
    for (FileInputStream each : OPEN) {
      each.close();
    }
    OPEN.clear();
  }

  /** Reads the class file early, so that loading the class needs no further descriptor. */
  private static final class Loader extends ClassLoader {
    private final byte[] bytes;

    Loader() throws IOException {
      bytes = Descriptors.class.getResourceAsStream("Descriptors$Late.class").readAllBytes();
    }

    IntUnaryOperator make() throws ReflectiveOperationException {
      Class<?> type = defineClass("Descriptors$Late", bytes, 0, bytes.length);
      return (IntUnaryOperator) type.getDeclaredConstructor().newInstance();
    }
  }

  public static void main(String[] arguments) throws Exception {
    Loader loader = new Loader();
    fill();
    clear();
    new Early().applyAsInt(1);
    System.out.println("ready");
    IntUnaryOperator late = null;
    Scanner in = new Scanner(System.in);
    while (in.hasNextLine()) {
      String[] command = in.nextLine().split(" ");
      switch (command[0]) {
        case "fill":
          fill();
          break;
        case "clear":
          clear();
          break;
        case "load":
          late = loader.make();
          break;
        case "call":
          for (int left = Integer.parseInt(command[1]); left > 0; left--) {
            late.applyAsInt(left);
          }
          break;
        default:
          return;
      }
      System.out.println(command[0]);
    }
  }
}
