// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.reflect.Executable;
import java.lang.reflect.Modifier;
import java.lang.reflect.Parameter;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.function.Function;

/**
 * Reads the parameters of methods of all kinds through reflection. Compile with -parameters.
 *
 * <p>Commands on stdin, one per line: {@code run} calls the methods, prints the current parameters,
 * one line per class, and then "done"; {@code exit} exits. Prints "ready" first.
 */
public class Parameters {
  @Retention(RetentionPolicy.RUNTIME)
  @interface Mark {
    String value() default "";
  }

  static class Plain {
    final int base;

    Plain(final int base, String unused) {
      this.base = base;
    }

    static long add(int first, final long second) {
      return first + second;
    }

    int times(int factor, String... others) {
      return base * factor + others.length;
    }

    int none() {
      return base;
    }
  }

  /** The compiler adds parameters to the constructor. */
  enum Size {
    SMALL(1),
    LARGE(2) {
      @Override
      int scaled(int by) {
        return 3 * by;
      }
    };

    private final int factor;

    Size(final int factor) {
      this.factor = factor;
    }

    int scaled(int by) {
      return factor * by;
    }
  }

  class Inner {
    final int depth;

    Inner(final int depth) {
      this.depth = depth;
    }

    Callable<Integer> deeper(int by) {
      return new Callable<>() {
        @Override
        public Integer call() {
          return depth + by;
        }
      };
    }
  }

  interface Shape {
    int area(int scale, final int unit);

    default int twice(final int scale) {
      return 2 * area(scale, 1);
    }

    static int square(int side) {
      return side * side;
    }
  }

  static class Square implements Shape {
    @Override
    public int area(int scale, int unit) {
      return Shape.square(scale) * unit;
    }
  }

  record Point(int x, @Mark("down") int y) {
    Point {
      if (x < 0) {
        throw new IllegalArgumentException();
      }
    }

    Point moved(final int dx, int dy) {
      return new Point(x + dx, y + dy);
    }
  }

  static class Generic<T extends Comparable<T>> {
    <E extends Exception> T greatest(final List<? extends T> some, Class<E> thrown) throws E {
      return some.stream().max(Comparable::compareTo).orElse(null);
    }

    Map<String, T> map(@Mark("key") @Deprecated String key, @Mark final T value) {
      return Map.of(key, value);
    }

    /** Contains a lambda, whose body is a method with parameters. */
    Function<T, String> shown(final String prefix) {
      return (final T value) -> prefix + value;
    }
  }

  static class Longer extends Generic<Integer> {
    @Override
    Map<String, Integer> map(String word, final Integer number) {
      return super.map(word, number);
    }
  }

  /** Defined in separate loaders, which the program asks only for this class. */
  public static class Subject implements Callable<String> {
    private final String name;

    public Subject(final String name) {
      this.name = name;
    }

    @Override
    public String call() {
      return greet(name, 2);
    }

    String greet(final String somebody, int times) {
      return somebody.repeat(times);
    }
  }

  static final class Loader extends ClassLoader {
    private final String kind;

    Loader(String kind) {
      super(Parameters.class.getClassLoader());
      this.kind = kind;
    }

    Callable<?> subject() throws Exception {
      String name = Subject.class.getName();
      try (InputStream in = Parameters.class.getResourceAsStream(name + ".class")) {
        byte[] classFile = in.readAllBytes();
        Class<?> type = defineClass(name, classFile, 0, classFile.length);
        return (Callable<?>) type.getConstructor(String.class).newInstance(kind);
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public URL getResource(String name) {
      switch (kind) {
        case "nothing":
          return null;
        case "another class":
          return Parameters.class.getResource("Parameters$Plain.class");
        case "error":
          throw new AssertionError("nobody is to ask for " + name);
        default:
          await(new CountDownLatch(1));
          return null;
      }
    }

    private static void await(CountDownLatch never) {
      while (true) {
        try {
          never.await();
        } catch (InterruptedException e) {
          // Blocks forever.
        }
      }
    }
  }

  static final List<Class<?>> CLASSES =
      new ArrayList<>(
          List.of(
              Plain.class,
              Size.class,
              Inner.class,
              Shape.class,
              Square.class,
              Point.class,
              Generic.class,
              Longer.class,
              Subject.class));

  static final List<Callable<?>> SUBJECTS = new ArrayList<>();

  static String run() throws Exception {
    Plain plain = new Plain(7, "");
    Point point = new Point(1, 2).moved(3, 4);
    Generic<Integer> generic = new Longer();
    String result =
        Plain.add(1, 2)
            + " "
            + plain.times(2, "a", "b")
            + plain.none()
            + Size.LARGE.scaled(2)
            + Size.SMALL.scaled(2)
            + " "
            + new Parameters().new Inner(1).deeper(2).call()
            + new Square().twice(3)
            + point
            + generic.greatest(List.of(1, 3, 2), Exception.class)
            + generic.map("k", 4)
            + generic.shown("is ").apply(5);
    for (Callable<?> subject : SUBJECTS) {
      result += " " + subject.call();
    }
    return result;
  }

  static String describe(Class<?> type) {
    List<Executable> all = new ArrayList<>(List.of(type.getDeclaredMethods()));
    all.addAll(List.of(type.getDeclaredConstructors()));
    List<String> lines = new ArrayList<>();
    all.forEach(one -> lines.add(describe(one)));
    lines.sort(null);
    return type.getName() + ": " + lines;
  }

  /** Returns all that reflection reports about the parameters. */
  static String describe(Executable one) {
    StringBuilder line = new StringBuilder(one.toGenericString());
    for (Parameter parameter : one.getParameters()) {
      line.append("; ").append(Modifier.toString(parameter.getModifiers()));
      line.append(' ').append(parameter.getParameterizedType());
      line.append(' ').append(parameter.getName());
      line.append(parameter.isNamePresent() ? "" : " (no name)");
      line.append(parameter.isImplicit() ? " mandated" : "");
      line.append(parameter.isSynthetic() ? " synthetic" : "");
      line.append(List.of(parameter.getAnnotations()));
    }
    return line.toString();
  }

  public static void main(String[] arguments) throws Exception {
    // Source code cannot name these two classes.
    CLASSES.add(Size.LARGE.getClass());
    CLASSES.add(new Parameters().new Inner(1).deeper(2).getClass());
    for (String kind : new String[] {"nothing", "another class", "error", "blocks"}) {
      Callable<?> subject = new Loader(kind).subject();
      SUBJECTS.add(subject);
      CLASSES.add(subject.getClass());
    }
    run();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; (command = commands.readLine()) != null && !command.equals("exit"); ) {
      System.out.println("ran " + run());
      for (Class<?> type : CLASSES) {
        System.out.println("class " + describe(type));
      }
      System.out.println("done");
    }
  }
}
