// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.util.Arrays;

/**
 * Asks reflection what some JVMs forget when they retransform a class: the names of parameters, and
 * the annotations on the types of a record's components. To be compiled with -parameters.
 *
 * <p>Commands on stdin, a line each: {@code run} calls each method once and prints what came of it,
 * and what reflection says, in one line; {@code exit} ends. "ready" is printed when all classes are
 * loaded.
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

  /** Without a parameter there is no name to forget. */
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
