// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.util.function.IntUnaryOperator;

/**
 * Methods and classes with annotations of both retentions, and names and values beyond ASCII. For
 * each line on stdin, calls every method five times and prints "did" and the line.
 */
public class Annotated {
  /** Has the default retention, CLASS. */
  @interface OnClass {}

  @Retention(RetentionPolicy.RUNTIME)
  @interface OnRuntime {}

  static class Methods {
    @OnClass
    int onClass(int number) {
      return number;
    }

    @OnRuntime
    int onRuntime(int number) {
      return number;
    }

    @OnClass
    @OnRuntime
    int onBoth(int number) {
      return number;
    }

    int onNone(int number) {
      return number;
    }
  }

  @OnClass
  static class Whole {
    String größe(String text) {
      return text;
    }
  }

  /** Defined without a name by another loader. */
  public static class Nameless implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return number;
    }
  }

  private static class Loader extends ClassLoader {
    Class<?> define(String name) throws Exception {
      try (InputStream in = Annotated.class.getResourceAsStream(name + ".class")) {
        byte[] file = in.readAllBytes();
        return defineClass(null, file, 0, file.length);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    Methods methods = new Methods();
    Whole whole = new Whole();
    IntUnaryOperator nameless = null;
    System.out.println("ready");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      if (nameless == null) {
        Class<?> defined = new Loader().define("Annotated$Nameless");
        nameless = (IntUnaryOperator) defined.getDeclaredConstructor().newInstance();
      }
      for (int i = 0; i < 5; i++) {
        methods.onClass(i);
        methods.onRuntime(i);
        methods.onBoth(i);
        methods.onNone(i);
        whole.größe("\ud83d\ude00 \0 " + i);
        nameless.applyAsInt(i);
      }
      System.out.println("did " + line);
    }
  }
}
