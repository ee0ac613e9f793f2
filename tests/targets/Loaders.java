// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.ref.WeakReference;
import java.lang.reflect.Constructor;
import java.net.URL;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.IntUnaryOperator;

/**
 * Defines com.acme.parcels.Counter in class loaders of all kinds, and calls it.
 *
 * <p>Commands on stdin, one per line, each answered with a line: {@code load LOADER}; {@code call
 * LOADER TIMES} calls a new counter in a thread with the loader's name; {@code drop LOADER} answers
 * when the loader is collected; {@code exit} exits. Prints "ready" first.
 */
public class Loaders {
  private static final String COUNTER = "com.acme.parcels.Counter";
  private static final Set<String> COUNTERS = Set.of(COUNTER, "com.acme.parcels.CounterBase");

  /** Defines some classes itself and optionally delegates the rest to another loader. */
  static class Isolating extends ClassLoader {
    private final Set<String> own;
    private final ClassLoader others;
    private final boolean showsFiles;

    Isolating(ClassLoader parent, Set<String> own, ClassLoader others, boolean showsFiles) {
      super(parent);
      this.own = own;
      this.others = others;
      this.showsFiles = showsFiles;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      synchronized (getClassLoadingLock(name)) {
        Class<?> loaded = findLoadedClass(name);
        if (loaded == null && own.contains(name)) {
          byte[] file = classFile(name);
          loaded = defineClass(name, file, 0, file.length);
        } else if (loaded == null && name.startsWith("java.")) {
          loaded = super.loadClass(name, resolve);
        } else if (loaded == null && others != null) {
          loaded = others.loadClass(name);
        }
        if (loaded == null) {
          throw new ClassNotFoundException(name + " is not of this bundle");
        }
        return loaded;
      }
    }

    byte[] classFile(String name) {
      String file = name.replace('.', '/') + ".class";
      try (InputStream in = Loaders.class.getClassLoader().getResourceAsStream(file)) {
        return in.readAllBytes();
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public URL getResource(String name) {
      return showsFiles ? Loaders.class.getClassLoader().getResource(name) : null;
    }
  }

  /** Defines classes that no class file exists for. */
  static final class Generating extends Isolating {
    Generating() {
      super(null, Set.of(COUNTER), null, false);
    }

    @Override
    byte[] classFile(String name) {
      return GeneratedClass.named(name);
    }
  }

  static ClassLoader loader(String kind) {
    ClassLoader application = Loaders.class.getClassLoader();
    switch (kind) {
      case "application":
        return application;
      case "child-first":
        return new Isolating(application, COUNTERS, application, true);
      case "osgi":
        // Hides its own parent, too.
        return new Isolating(application, COUNTERS, null, false);
      case "jboss":
        // The loader defines one class and imports the other from another module.
        return new Isolating(
            null, Set.of(COUNTER), new Isolating(null, COUNTERS, null, true), true);
      case "generated":
        return new Generating();
      default:
        throw new IllegalArgumentException(kind);
    }
  }

  static IntUnaryOperator counter(Class<?> type) throws Exception {
    Constructor<?> constructor = type.getConstructors()[0];
    if (constructor.getParameterCount() == 0) {
      return (IntUnaryOperator) constructor.newInstance();
    }
    constructor.newInstance(true);
    return (IntUnaryOperator) constructor.newInstance(false);
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, IntUnaryOperator> counters = new HashMap<>();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command; !(command = commands.readLine()).equals("exit"); ) {
      String[] words = command.split(" ");
      switch (words[0]) {
        case "load":
          counters.put(words[1], counter(Class.forName(COUNTER, true, loader(words[1]))));
          break;
        case "call":
          IntUnaryOperator another = counter(counters.get(words[1]).getClass());
          call(another, words[1], Integer.parseInt(words[2]));
          break;
        default:
          drop(new WeakReference<>(counters.remove(words[1]).getClass().getClassLoader()));
      }
      System.out.println("did " + command);
    }
  }

  static void call(IntUnaryOperator counter, String name, int times) throws InterruptedException {
    Thread caller =
        new Thread(
            () -> {
              int number = 0;
              for (int i = 0; i < times; i++) {
                number = counter.applyAsInt(number);
              }
              if (number != times) {
                throw new IllegalStateException(number + " is not " + times);
              }
            },
            name);
    caller.start();
    caller.join();
  }

  static void drop(WeakReference<ClassLoader> loader) throws InterruptedException {
    while (loader.get() != null) {
      System.gc();
      Thread.sleep(10);
    }
  }
}
