// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntSupplier;
import java.util.function.IntUnaryOperator;
import java.util.function.Supplier;

/**
 * Methods of every kind, with every type of value and every kind of exit. All nested classes are
 * traced; {@link EveryKind} calls them and knows the expected events.
 */
public class Kinds {
  /** Methods that return one of their arguments. */
  static class Types {
    static boolean aBoolean(boolean value) {
      return value;
    }

    static byte aByte(byte value) {
      return value;
    }

    static short aShort(short value) {
      return value;
    }

    static char aChar(char value) {
      return value;
    }

    static int anInt(int value) {
      return value;
    }

    static long aLong(long value) {
      return value;
    }

    static float aFloat(float value) {
      return value;
    }

    static double aDouble(double value) {
      return value;
    }

    static String aString(String value) {
      return value;
    }

    static Object anObject(Object value) {
      return value;
    }

    static Integer anInteger(Integer value) {
      return value;
    }

    static int[] anIntArray(int[] value) {
      return value;
    }

    static String[][] aStringArray(String[][] value) {
      return value;
    }

    static CharSequence aCharSequence(CharSequence value) {
      return value;
    }

    static void nothing() {}

    /**
     * Has the maximum number of arguments of a probe. With the thread ID they are one word more
     * than a note can describe.
     */
    static double twelve(
        boolean a,
        byte b,
        char c,
        short d,
        int e,
        long f,
        float g,
        double h,
        String i,
        Object j,
        int[] k,
        Long l) {
      return h;
    }

    long twelveOfAnObject(
        double a,
        long b,
        double c,
        long d,
        float e,
        int f,
        String g,
        String h,
        long i,
        double j,
        boolean k,
        char l) {
      return i;
    }

    static String twelveTexts(
        String a,
        String b,
        String c,
        String d,
        String e,
        String f,
        String g,
        String h,
        String i,
        String j,
        String k,
        String l) {
      return l;
    }

    /** Has two arguments too many: the last two are not captured. */
    static long fourteen(
        long a,
        int b,
        long c,
        int d,
        long e,
        int f,
        long g,
        int h,
        long i,
        int j,
        long k,
        int l,
        String m,
        double n) {
      return k;
    }
  }

  /** Has a class initializer that calls a method. */
  static class Initialised {
    static final int VALUE;

    static {
      VALUE = first(40) + 2;
    }

    static int first(int value) {
      return value;
    }
  }

  /** Has an interface initializer that fails. */
  interface Unusable {
    int VALUE = Exits.refuse("initialiser");
  }

  abstract static class Base<T> {
    final String name;

    Base(String name) {
      this.name = name;
    }

    abstract T of(T value);

    Object copy() {
      return this;
    }

    native int absent();
  }

  /** Has a public method that a public subclass inherits, so the compiler generates a bridge. */
  static class Concealed {
    public int shown(int value) {
      return value + 1;
    }
  }

  public static class Shown extends Concealed {}

  interface Named {
    default String greet(String whom) {
      return secret(whom) + shout("!");
    }

    private String secret(String whom) {
      return "hello " + whom;
    }

    static String shout(String what) {
      return what + what;
    }
  }

  static class Methods extends Base<String> implements Named, Comparable<Methods> {
    private long total;

    Methods() {
      this("default", 1);
    }

    Methods(String name, int times) {
      super(name.repeat(times));
    }

    /** Called by the bridge of(Object). */
    @Override
    String of(String value) {
      return value + name;
    }

    /** Called by a bridge with another return type. */
    @Override
    Methods copy() {
      return (Methods) super.copy();
    }

    @Override
    public int compareTo(Methods other) {
      return name.compareTo(other.name);
    }

    static synchronized boolean staticLocked() {
      return Thread.holdsLock(Methods.class);
    }

    synchronized boolean locked() {
      return Thread.holdsLock(this);
    }

    static int sum(int... values) {
      int sum = 0;
      for (int value : values) {
        sum += value;
      }
      return sum;
    }

    private long add(long value) {
      total += value;
      return total;
    }

    final long addTwice(long value) {
      add(value);
      return add(value);
    }

    <N extends Number> N same(N value) {
      return value;
    }

    long factorial(int number) {
      return number <= 1 ? 1 : number * factorial(number - 1);
    }

    strictfp double half(double value) {
      return value / 2;
    }

    /** The lambda's body is static, because it captures only a number. */
    static IntSupplier later(int value) {
      return () -> value + 1;
    }

    /** The lambda's body is an instance method. */
    IntUnaryOperator adding() {
      return value -> (int) add(value);
    }

    /** Returns a lambda that returns a lambda. */
    static Supplier<Supplier<String>> nested(String text) {
      return () -> () -> text + text;
    }

    static Runnable anonymous(List<String> log, int times) {
      return new Runnable() {
        @Override
        public void run() {
          for (int i = 0; i < times; i++) {
            log.add("run");
          }
        }
      };
    }

    static long local(long value) {
      class Local {
        final long twice;

        Local(int factor) {
          twice = value * factor;
        }
      }
      return new Local(2).twice;
    }

    /** Refers to the enclosing object. */
    class Inner {
      private final int step;

      Inner(int step) {
        this.step = step;
      }

      long addStep() {
        return add(step);
      }
    }
  }

  enum Level {
    LOW {
      @Override
      int weight(int factor) {
        return factor;
      }
    },
    HIGH(100) {
      @Override
      int weight(int factor) {
        return base * factor;
      }
    };

    final int base;

    Level() {
      this(1);
    }

    Level(int base) {
      this.base = base;
    }

    abstract int weight(int factor);

    static Level of(int weight) {
      return weight < 100 ? LOW : HIGH;
    }
  }

  static class Refusal extends Exception {
    private static final long serialVersionUID = 1;

    Refusal(String message) {
      super(message);
    }

    /** Fails, because the agent must read only the exception's class. */
    @Override
    public String getMessage() {
      throw new UnsupportedOperationException();
    }

    @Override
    public String toString() {
      throw new UnsupportedOperationException();
    }
  }

  static class Resource implements AutoCloseable {
    @Override
    public void close() {
      throw new IllegalStateException("close");
    }
  }

  static class Exits {
    static int depth;

    static int refuse(String why) {
      throw new IllegalArgumentException(why);
    }

    static void refuseChecked(String why) throws Refusal {
      throw new Refusal(why);
    }

    /** Lets the callee's exception through. */
    static int passes(String why) {
      return refuse(why) + 1;
    }

    static int rethrows(String why) {
      try {
        return refuse(why);
      } catch (IllegalArgumentException e) {
        throw e;
      }
    }

    static int wraps(String why) {
      try {
        return refuse(why);
      } catch (IllegalArgumentException e) {
        throw new IllegalStateException(e);
      }
    }

    static int keeps(String why) {
      try {
        return refuse(why);
      } catch (IllegalArgumentException e) {
        return -1;
      }
    }

    /** Always returns, although the callee throws. */
    @SuppressWarnings("finally")
    static int returnsInFinally(String why) {
      try {
        return refuse(why);
      } finally {
        return 7;
      }
    }

    @SuppressWarnings("finally")
    static int throwsInFinally(int value) {
      try {
        return value;
      } finally {
        refuse("finally");
      }
    }

    static int finallyInFinally(List<String> log, boolean fail) {
      try {
        try {
          log.add("try");
          return fail ? refuse("inner") : 1;
        } finally {
          log.add("inner");
        }
      } finally {
        log.add("outer");
      }
    }

    static int endless(int from) {
      for (int i = from; ; i++) {
        if (i == 1_000) {
          throw new ArrayStoreException();
        }
      }
    }

    static int jumps(int count) {
      int sum = 0;
      outer:
      for (int i = 0; i < count; i++) {
        for (int j = 0; ; j++) {
          if (j > i) {
            continue outer;
          }
          if (sum > 100) {
            break outer;
          }
          sum += i * j;
        }
      }
      return sum;
    }

    static String chooses(String word, int number) {
      switch (word) {
        case "null":
          return null;
        case "number":
          switch (number) {
            case 1:
              return "one";
            case 1_000:
              return "thousand";
            default:
              return "other";
          }
        default:
          return word;
      }
    }

    static int dividesBy(int value) {
      return 1 / value;
    }

    static int lengthOf(String value) {
      return value.length();
    }

    static int elementAt(int[] values, int index) {
      return values[index];
    }

    static Integer casts(Object value) {
      return (Integer) value;
    }

    static long[] allocates(int size) {
      return new long[size];
    }

    static void throwsIt(RuntimeException exception) {
      throw exception;
    }

    /** The compiler generates the exception handler that releases the lock. */
    static synchronized int locksTwice(Object lock, boolean fail) {
      synchronized (lock) {
        if (fail) {
          throw new UnsupportedOperationException();
        }
        return 2;
      }
    }

    static void closes(boolean fail) {
      try (Resource resource = new Resource()) {
        if (fail && resource != null) {
          throw new IllegalArgumentException("body");
        }
      }
    }

    /** Recurses until the stack overflows, and counts the levels. */
    static int overflows(int level) {
      depth++;
      return 1 + overflows(level + 1);
    }
  }

  static class Parent {
    final int value;

    Parent(int value) {
      this.value = value;
      if (value < 0) {
        throw new IllegalArgumentException();
      }
    }
  }

  static class Child extends Parent {
    Child(String number) {
      super(parse(number));
      if (value == 13) {
        throw new IllegalStateException();
      }
    }

    Child(String number, boolean twice) {
      this(twice ? number + number : number);
      if (value == 77) {
        throw new UnsupportedOperationException();
      }
    }

    static int parse(String number) {
      return Integer.parseInt(number);
    }
  }

  /** Returns every nested class, loaded but not initialized. */
  static List<Class<?>> load() throws ClassNotFoundException {
    List<Class<?>> classes = new ArrayList<>();
    for (String name :
        new String[] {
          "Types",
          "Initialised",
          "Unusable",
          "Base",
          "Concealed",
          "Shown",
          "Named",
          "Methods",
          "Methods$1",
          "Methods$1Local",
          "Methods$Inner",
          "Level",
          "Level$1",
          "Level$2",
          "Refusal",
          "Resource",
          "Exits",
          "Parent",
          "Child"
        }) {
      classes.add(Class.forName("Kinds$" + name, false, Kinds.class.getClassLoader()));
    }
    return classes;
  }
}
