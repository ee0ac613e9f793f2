// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Scanner;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.IntUnaryOperator;

/**
 * Classes whose loaders misbehave; each class is named after the fault of its loader. All of them
 * return a number plus one.
 *
 * <p>Commands on stdin, one per line: {@code misbehave} starts the faults; {@code call N} calls
 * every class N times and prints "called" with the failures; {@code lock} takes the monitor of the
 * loader Locked; {@code unlock} releases it. While the monitor is taken, calls run in other
 * threads, and {@code use} links a class of that loader in this thread. {@code free} unblocks
 * blocked loaders permanently; {@code late} adds the class Late; {@code exit} exits. Prints "ready"
 * first, and the past tense of each command, such as "locked", when it is done.
 */
public class Unruly {
  /** Holds the value that a path through a class file leads to. */
  public static class Box {
    final int size = 7;
  }

  public static class Aside implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** The loader knows only the classes on its list. */
  public static class Strict extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** The loader no longer finds any class. */
  public static class Closed extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** The loader throws an exception without a description. */
  public static class Throwing extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** The loader returns another class than requested. */
  public static class Impostor extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** The loader blocks. */
  public static class Blocking extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** The loader is not parallel capable: loading a class locks its monitor. */
  public static class Locked extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** The loader throws an Error when asked for a file. */
  public static class FileThrows extends Aside {
    final Box box = new Box();

    @Override
    public int applyAsInt(int number) {
      return number + box.size - 6;
    }
  }

  /** The loader blocks when asked for a file. */
  public static class FileBlocks extends Aside {
    final Box box = new Box();

    @Override
    public int applyAsInt(int number) {
      return number + box.size - 6;
    }
  }

  /** The loader returns endless files. */
  public static class FileEndless extends Aside {
    final Box box = new Box();

    @Override
    public int applyAsInt(int number) {
      return number + box.size - 6;
    }
  }

  /** The loader blocks while this class is linked, because the verifier loads Larger. */
  public static class LinkBlocks extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }

    Box box(Larger larger) {
      return larger;
    }
  }

  /** Like LinkBlocks, in the loader Locked. */
  public static class LinkLocked extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }

    Box box(Larger larger) {
      return larger;
    }
  }

  /**
   * The loader answers late, and waits for nothing meanwhile, as on a machine that gives it no CPU
   * time.
   */
  public static class Late extends Aside {
    @Override
    public int applyAsInt(int number) {
      return number + 1;
    }
  }

  /** Used only by the verifier. */
  public static class Larger extends Box {}

  private static final class Undescribed extends Error {
    @Override
    public String getMessage() {
      throw new IllegalStateException("nor can this be described");
    }
  }

  private static final CountDownLatch FREE = new CountDownLatch(1);
  private static volatile boolean misbehaves;

  private static final class Loader extends ClassLoader {
    private static final Set<String> LIST = Set.of("java.lang.Object", "java.lang.String");

    private final String kind;

    Loader(String kind) {
      super(Unruly.class.getClassLoader());
      this.kind = kind;
    }

    Class<?> define() throws IOException {
      return define(kind);
    }

    Class<?> define(String kind) throws IOException {
      String name = "Unruly$" + kind;
      byte[] bytes;
      try (InputStream in = getParent().getResourceAsStream(name + ".class")) {
        bytes = in.readAllBytes();
      }
      return defineClass(name, bytes, 0, bytes.length);
    }

    IntUnaryOperator guest() throws Exception {
      return guestOf(define());
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      if (!misbehaves) {
        return super.loadClass(name, resolve);
      }
      switch (kind) {
        case "Strict":
          if (!LIST.contains(name)) {
            throw new ClassNotFoundException("not on the list: " + name);
          }
          break;
        case "Closed":
          throw new IllegalStateException("closed, and asked for " + name);
        case "Throwing":
          throw new Undescribed();
        case "Impostor":
          return name.startsWith("java.jprobe.") ? Box.class : super.loadClass(name, resolve);
        case "Blocking":
          block();
          break;
        case "Late":
          while (FREE.getCount() > 0) {
            Thread.onSpinWait();
          }
          break;
        case "LinkBlocks":
          if (name.endsWith("Larger")) {
            block();
          }
          break;
        default:
          break;
      }
      return super.loadClass(name, resolve);
    }

    @Override
    public URL getResource(String name) {
      switch (misbehaves ? kind : "") {
        case "FileThrows":
          throw new Undescribed();
        case "FileBlocks":
          block();
          break;
        case "FileEndless":
          return endless();
        default:
          break;
      }
      return super.getResource(name);
    }

    private static void block() {
      boolean isFree = false;
      while (!isFree) {
        try {
          FREE.await();
          isFree = true;
        } catch (InterruptedException e) {
          // Interrupts do not unblock it.
        }
      }
    }

    private static URL endless() {
      try {
        return new URL(
            null,
            "endless:/",
            new URLStreamHandler() {
              @Override
              protected URLConnection openConnection(URL url) {
                return new URLConnection(url) {
                  @Override
                  public void connect() {}

                  @Override
                  public InputStream getInputStream() {
                    return new InputStream() {
                      @Override
                      public int read() {
                        return 0;
                      }

                      @Override
                      public int read(byte[] into, int from, int count) {
                        return count;
                      }
                    };
                  }
                };
              }
            });
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  private static IntUnaryOperator guestOf(Class<?> type) throws Exception {
    return (IntUnaryOperator) type.getDeclaredConstructor().newInstance();
  }

  private static final String[] KINDS = {
    "Strict",
    "Closed",
    "Throwing",
    "Impostor",
    "Blocking",
    "Locked",
    "FileThrows",
    "FileBlocks",
    "FileEndless"
  };

  private final Map<String, IntUnaryOperator> guests = new LinkedHashMap<>();
  private final Loader locked = new Loader("Locked");
  private final Class<?> unlinked = new Loader("LinkBlocks").define();
  private final Class<?> unlinkedOfLocked = locked.define("LinkLocked");

  private final ExecutorService caller =
      Executors.newCachedThreadPool(
          work -> {
            Thread thread = new Thread(work);
            thread.setDaemon(true);
            return thread;
          });

  private Unruly() throws Exception {
    guests.put("Aside", new Aside());
    for (String kind : KINDS) {
      guests.put(kind, (kind.equals("Locked") ? locked : new Loader(kind)).guest());
    }
    call(1);
  }

  /**
   * Returns the failures, such as " Strict:class java.lang.NoClassDefFoundError", or an empty
   * string.
   */
  private String call(int calls) throws Exception {
    StringBuilder wrong = new StringBuilder();
    for (Map.Entry<String, IntUnaryOperator> guest : guests.entrySet()) {
      try {
        caller.submit(() -> check(guest.getValue(), calls)).get(10, TimeUnit.SECONDS);
      } catch (TimeoutException e) {
        wrong.append(' ').append(guest.getKey()).append(":hangs");
      } catch (Exception e) {
        wrong.append(' ').append(guest.getKey()).append(':').append(e.getCause().getClass());
      }
    }
    return wrong.toString();
  }

  private static void check(IntUnaryOperator guest, int calls) {
    for (int i = 0; i < calls; i++) {
      if (guest.applyAsInt(i) != i + 1) {
        throw new IllegalStateException("a wrong result");
      }
    }
  }

  private void serve() throws Exception {
    Scanner in = new Scanner(System.in);
    while (in.hasNextLine()) {
      String[] command = in.nextLine().split(" ");
      switch (command[0]) {
        case "misbehave":
          misbehaves = true;
          System.out.println("misbehaved");
          break;
        case "call":
          System.out.println("called" + call(Integer.parseInt(command[1])));
          break;
        case "lock":
          synchronized (locked) {
            System.out.println("locked");
            while (!in.hasNext("unlock")) {
              String[] inner = in.nextLine().split(" ");
              if (inner[0].equals("use")) {
                guests.put("LinkLocked", guestOf(unlinkedOfLocked));
                System.out.println("used");
              } else {
                System.out.println("called" + call(Integer.parseInt(inner[1])));
              }
            }
            in.nextLine();
          }
          System.out.println("unlocked");
          break;
        case "late":
          guests.put("Late", new Loader("Late").guest());
          System.out.println("added");
          break;
        case "free":
          FREE.countDown();
          guests.put("LinkBlocks", guestOf(unlinked));
          System.out.println("freed");
          break;
        default:
          return;
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    Unruly unruly = new Unruly();
    System.out.println("ready");
    unruly.serve();
  }
}
