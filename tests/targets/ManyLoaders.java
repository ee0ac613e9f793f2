// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.io.InputStream;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.function.IntUnaryOperator;

/**
 * Creates many class loaders, each with copies of the nested classes, and drops them.
 *
 * <p>Commands on stdin, one per line: {@code load N} creates N loaders and prints "loaded"; {@code
 * call N} calls each copy of Porter N times and prints "called"; {@code drop} drops all loaders and
 * prints "dropped" when the JVM has collected them; {@code exit} exits. Prints "ready" first.
 */
public class ManyLoaders {
  /** Values that paths lead to: a private field, one of the package, and a static one. */
  public static class Box {
    static int made;

    private final int size;
    final String label;

    Box(int size) {
      this.size = size;
      this.label = "box " + size;
      made++;
    }

    int size() {
      return size;
    }
  }

  /** Adds one. */
  public static class Porter implements IntUnaryOperator {
    private final Box[] boxes = {new Box(3), new Box(4)};
    private final List<Object> shelf = new ArrayList<>(List.of(boxes[1], "empty"));
    private final Map<String, Object> byName = new HashMap<>(Map.of("first", boxes[0]));

    @Override
    public int applyAsInt(int number) {
      IntUnaryOperator hidden = value -> value + carry(boxes, shelf, byName);
      return hidden.applyAsInt(number);
    }

    int carry(Box[] boxes, List<Object> shelf, Map<String, Object> byName) {
      return boxes[1].size() - ((Box) byName.get("first")).size();
    }

    /** The tests select it with a path that does not resolve. */
    void unresolved() {}
  }

  /** Loaded, but never linked. */
  public static class Idle {
    void wait(Box box) {}
  }

  private static final class Loader extends ClassLoader {
    private static final Map<String, byte[]> FILES = new HashMap<>();

    private final boolean hasFiles;

    Loader(boolean hasFiles) {
      super(ManyLoaders.class.getClassLoader());
      this.hasFiles = hasFiles;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      if (!name.startsWith("ManyLoaders$")) {
        return super.loadClass(name, resolve);
      }
      synchronized (getClassLoadingLock(name)) {
        Class<?> loaded = findLoadedClass(name);
        if (loaded == null) {
          byte[] file = FILES.computeIfAbsent(name, Loader::read);
          loaded = defineClass(name, file, 0, file.length);
        }
        return loaded;
      }
    }

    private static byte[] read(String name) {
      try (InputStream in = ManyLoaders.class.getResourceAsStream(name + ".class")) {
        return in.readAllBytes();
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public URL getResource(String name) {
      if (!hasFiles) {
        throw new IllegalStateException("no files here");
      }
      return super.getResource(name);
    }
  }

  private static final List<IntUnaryOperator> porters = new ArrayList<>();
  private static final List<WeakReference<ClassLoader>> loaders = new ArrayList<>();

  private static void load(int number) throws Exception {
    // One of ten has no class files, so that paths into other classes cannot be resolved.
    ClassLoader loader = new Loader(number % 10 != 9);
    loader.loadClass("ManyLoaders$Idle");
    Class<?> porter = loader.loadClass("ManyLoaders$Porter");
    porters.add((IntUnaryOperator) porter.getConstructor().newInstance());
    loaders.add(new WeakReference<>(loader));
  }

  private static void call(int times) {
    for (IntUnaryOperator porter : porters) {
      for (int i = 0; i < times; i++) {
        if (porter.applyAsInt(i) != i + 1) {
          throw new IllegalStateException("a wrong result");
        }
      }
    }
  }

  private static void drop() throws InterruptedException {
    porters.clear();
    while (loaders.stream().anyMatch(loader -> loader.get() != null)) {
      System.gc();
      Thread.sleep(10);
    }
    loaders.clear();
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("ready");
    Scanner commands = new Scanner(System.in);
    while (commands.hasNextLine()) {
      String[] words = commands.nextLine().split(" ");
      switch (words[0]) {
        case "load":
          for (int i = 0; i < Integer.parseInt(words[1]); i++) {
            load(i);
          }
          System.out.println("loaded");
          break;
        case "call":
          call(Integer.parseInt(words[1]));
          System.out.println("called");
          break;
        case "drop":
          drop();
          System.out.println("dropped");
          break;
        default:
          return;
      }
    }
  }
}
