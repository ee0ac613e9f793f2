// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * A program that changes its standard error. Argument: the number of classes to load that cannot be
 * woven, because their methods declare the maximum operand stack.
 *
 * <p>Commands on stdin, one per line, each answered with a line: {@code null}, {@code throwing} and
 * {@code closed} change System.err; {@code reuse LIBRARY FILE} closes descriptor 2 through that
 * library, opens the file and prints its descriptor; {@code open FILE} opens a file; {@code call}
 * calls {@link Calls#add} five times; {@code exit} exits.
 */
public class Stderr {
  static class Calls {
    static int add(int sum, int number) {
      return sum + number;
    }
  }

  static class Deep00 {
    static int run(int number) {
      return number;
    }
  }

  private static class Throwing extends OutputStream {
    @Override
    public void write(int octet) {
      throw new AssertionError("nothing is written here");
    }
  }

  /** Defines copies of Deep00 under other names. */
  private static class Loader extends ClassLoader {
    private static final String STACK_OF_ONE = "\0\1\0\1\0\0\0\2\u001a\u00ac";
    private static final String GREATEST_STACK = "\u00ff\u00ff\0\1\0\0\0\2\u001a\u00ac";

    void load(int number) throws Exception {
      String content;
      try (InputStream in = Stderr.class.getResourceAsStream("Stderr$Deep00.class")) {
        content = new String(in.readAllBytes(), StandardCharsets.ISO_8859_1);
      }
      if (!content.contains(STACK_OF_ONE)) {
        throw new AssertionError("the class was compiled otherwise");
      }
      String name = String.format("Deep%02d", number);
      byte[] changed =
          content
              .replace(STACK_OF_ONE, GREATEST_STACK)
              .replace("Deep00", name)
              .getBytes(StandardCharsets.ISO_8859_1);
      defineClass("Stderr$" + name, changed, 0, changed.length);
      Class.forName("Stderr$" + name, true, this);
    }
  }

  private static native int reuse(byte[] file);

  private static FileOutputStream file;

  public static void main(String[] arguments) throws Exception {
    Loader loader = new Loader();
    for (int number = 1; number <= Integer.parseInt(arguments[0]); number++) {
      loader.load(number);
    }
    Calls.add(0, 0);
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = commands.readLine()) != null && !line.equals("exit"); ) {
      System.out.println(carryOut(line.split(" ")));
    }
  }

  private static String carryOut(String[] command) throws IOException {
    switch (command[0]) {
      case "null":
        System.setErr(null);
        return "done";
      case "throwing":
        System.setErr(new PrintStream(new Throwing(), true));
        return "done";
      case "closed":
        System.err.close();
        return "done";
      case "reuse":
        System.load(command[1]);
        return "descriptor " + reuse(command[2].getBytes(StandardCharsets.UTF_8));
      case "open":
        file = new FileOutputStream(command[1]);
        return "done";
      default:
        int sum = 0;
        for (int number = 1; number <= 5; number++) {
          sum = Calls.add(sum, number);
        }
        return "called " + sum;
    }
  }
}
