// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;
import java.util.Scanner;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntUnaryOperator;

/**
 * Class loaders that do not provide their class files as resources at first: one throws, one has
 * none, and one does not answer. Each loads the class that is named after it.
 *
 * <p>Commands on stdin, one per line: {@code load} loads all classes and prints "loaded"; {@code
 * asked} prints how often the throwing one was asked; {@code provide} makes the loaders provide
 * their files and prints "provided"; {@code call N} calls each class N times and prints "called";
 * {@code exit} exits. Prints "ready" first.
 */
public class Bundles {
  static class Box {
    final int size = 7;
  }

  public static class Throwing implements IntUnaryOperator {
    final Box box = new Box();

    @Override
    public int applyAsInt(int number) {
      return number + box.size;
    }
  }

  public static class Lacking implements IntUnaryOperator {
    final Box box = new Box();

    @Override
    public int applyAsInt(int number) {
      return number + box.size;
    }
  }

  public static class Silent implements IntUnaryOperator {
    final Box box = new Box();

    @Override
    public int applyAsInt(int number) {
      return number + box.size;
    }
  }

  private static final CountDownLatch PROVIDED = new CountDownLatch(1);
  private static final AtomicInteger ASKED = new AtomicInteger();

  private static final class Loader extends ClassLoader {
    private final String kind;

    Loader(String kind) {
      super(Bundles.class.getClassLoader());
      this.kind = kind;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      if (!name.startsWith("Bundles$")) {
        return super.loadClass(name, resolve);
      }
      synchronized (getClassLoadingLock(name)) {
        Class<?> loaded = findLoadedClass(name);
        return loaded == null ? define(name) : loaded;
      }
    }

    private Class<?> define(String name) {
      try (InputStream in = Bundles.class.getResourceAsStream(name + ".class")) {
        byte[] file = in.readAllBytes();
        return defineClass(name, file, 0, file.length);
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public URL getResource(String name) {
      if (PROVIDED.getCount() > 0) {
        switch (kind) {
          case "Throwing":
            throw new IllegalStateException("not at attempt " + ASKED.incrementAndGet());
          case "Lacking":
            return null;
          default:
            await();
        }
      }
      return super.getResource(name);
    }

    private static void await() {
      try {
        PROVIDED.await();
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    List<IntUnaryOperator> bundles = new ArrayList<>();
    System.out.println("ready");
    Scanner commands = new Scanner(System.in);
    while (commands.hasNextLine()) {
      String[] words = commands.nextLine().split(" ");
      switch (words[0]) {
        case "load":
          for (String kind : new String[] {"Throwing", "Lacking", "Silent"}) {
            Class<?> type = new Loader(kind).loadClass("Bundles$" + kind);
            bundles.add((IntUnaryOperator) type.getConstructor().newInstance());
          }
          System.out.println("loaded");
          break;
        case "asked":
          System.out.println("asked " + ASKED);
          break;
        case "provide":
          PROVIDED.countDown();
          System.out.println("provided");
          break;
        case "call":
          for (IntUnaryOperator bundle : bundles) {
            for (int i = 0; i < Integer.parseInt(words[1]); i++) {
              bundle.applyAsInt(i);
            }
          }
          System.out.println("called");
          break;
        default:
          return;
      }
    }
  }
}
