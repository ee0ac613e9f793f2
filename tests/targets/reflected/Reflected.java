// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.util.Arrays;

/**
 * Reads through reflection what some JVMs lose when they retransform a class: the names of
 * parameters, and the annotations on the types of record components. Compile with -parameters.
 *
 * <p>Commands on stdin, one per line: {@code run} calls each method once and prints the results and
 * the reflected data in one line; {@code exit} exits. Prints "ready" when all classes are loaded.
 */
public class Reflected {
  @Retention(RetentionPolicy.RUNTIME)
  @Target(ElementType.TYPE_USE)
  @interface Checked {
    String value();
  }

  static class Named {
    String greet(final String name, int times) {
      return name.repeat(times);
    }
  }

  record Marked(@Checked("never empty") String name, int size) {
    Marked {
      assertNamed(name);
    }

    String twice() {
      return name + name;
    }
  }

  static void assertNamed(String name) {
    if (name.isEmpty()) {
      throw new IllegalArgumentException();
    }
  }

  /** Has no parameter, so there is no name to lose. */
  static class Plain {
    int answer() {
      return 42;
    }
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("named: " + named());
    called();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {
      System.out.println("said: " + called() + "; " + named() + "; " + marked());
    }
  }

  static String called() {
    Marked marked = new Marked("b", 7);
    return new Named().greet("a", 2)
        + " "
        + marked.twice()
        + " "
        + marked.size()
        + " "
        + marked
        + " "
        + new Plain().answer();
  }

  static String named() throws Exception {
    return Arrays.toString(
        Named.class.getDeclaredMethod("greet", String.class, int.class).getParameters());
  }

  static String marked() {
    var component = Marked.class.getRecordComponents()[0];
    return component.getName()
        + Arrays.toString(component.getAnnotatedType().getAnnotations())
        + Arrays.toString(Marked.class.getDeclaredConstructors()[0].getParameters());
  }
}
