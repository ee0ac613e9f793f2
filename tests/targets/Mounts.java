import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Scanner;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Virtual threads that call methods whose time they know: "truth KIND ID DURATION ON_CPU RUN_QUEUE
 * WAITED", in ns. The kernel measures the spans in which they work, on the carrier of each; the
 * rest is waiting. Reads one command per line: "KIND THREADS CALLS"; "yield" prints the time of one
 * Thread.yield, which unmounts and mounts the thread. Uses reflection, because JDKs without virtual
 * threads compile it too.
 */
public final class Mounts {
  private static final ReentrantLock LOCK = new ReentrantLock();
  private static final Object MONITOR = new Object();
  private static final Path SCHEDSTAT = Path.of("/proc/thread-self/schedstat");
  private static volatile long sink;
  private static int last;

  private Mounts() {}

  /** The times of one call, in ns. */
  private static final class Truth {
    long onCpu;
    long runQueue;
    long waited;

    /** Works without waiting, so that the carrier stays the same. */
    void work(int millis) throws Exception {
      long begun = System.nanoTime();
      long queued = queued();
      long end = System.nanoTime() + millis * 1_000_000L;
      while (System.nanoTime() < end) {
        sink++;
      }
      queued = queued() - queued;
      runQueue += queued;
      // Asking the kernel is work as well.
      onCpu += System.nanoTime() - begun - queued;
    }

    /** Returns the time that the carrier has waited for a CPU. */
    private static long queued() throws Exception {
      return Long.parseLong(Files.readString(SCHEDSTAT).trim().split(" ")[1]);
    }

    void pause(int millis) throws Exception {
      long begun = System.nanoTime();
      Thread.sleep(millis);
      waited += System.nanoTime() - begun;
    }
  }

  static int spin(int id, Truth truth) throws Exception {
    truth.work(8);
    return id;
  }

  static int sleep(int id, Truth truth) throws Exception {
    truth.pause(12);
    return id;
  }

  static int mixed(int id, Truth truth) throws Exception {
    for (int i = 0; i < 3; i++) {
      truth.work(3);
      truth.pause(5);
    }
    return id;
  }

  static int lock(int id, Truth truth) {
    long begun = System.nanoTime();
    LOCK.lock();
    truth.waited = System.nanoTime() - begun;
    LOCK.unlock();
    return id;
  }

  static int monitor(int id, Truth truth) {
    long begun = System.nanoTime();
    synchronized (MONITOR) {
      truth.waited = System.nanoTime() - begun;
    }
    return id;
  }

  /** Calls another method, which waits, before and after work of its own. */
  static int outer(int id, Truth truth) throws Exception {
    truth.work(2);
    sleep(id, truth);
    truth.work(2);
    return id;
  }

  private static void call(String kind, int id) throws Exception {
    Truth truth = new Truth();
    long begun = System.nanoTime();
    switch (kind) {
      case "spin":
        spin(id, truth);
        break;
      case "sleep":
        sleep(id, truth);
        break;
      case "mixed":
        mixed(id, truth);
        break;
      case "lock":
        lock(id, truth);
        break;
      case "monitor":
        monitor(id, truth);
        break;
      case "outer":
        outer(id, truth);
        break;
      default:
        throw new IllegalArgumentException(kind);
    }
    long duration = System.nanoTime() - begun;
    String line =
        String.format(
            "truth %s %d %d %d %d %d",
            kind, id, duration, truth.onCpu, truth.runQueue, truth.waited);
    synchronized (System.out) {
      System.out.println(line);
    }
  }

  private static void giveWay(int calls) throws Exception {
    Method start = Thread.class.getMethod("startVirtualThread", Runnable.class);
    Runnable task =
        () -> {
          long begun = System.nanoTime();
          for (int i = 0; i < calls; i++) {
            Thread.yield();
          }
          System.out.println("yield " + (System.nanoTime() - begun) / calls);
        };
    ((Thread) start.invoke(null, task)).join();
  }

  private static synchronized int next() {
    return ++last;
  }

  private static void run(String kind, int threads, int calls) throws Exception {
    Method start = Thread.class.getMethod("startVirtualThread", Runnable.class);
    CountDownLatch done = new CountDownLatch(threads);
    Runnable task =
        () -> {
          try {
            for (int i = 0; i < calls; i++) {
              call(kind, next());
            }
          } catch (Exception e) {
            throw new IllegalStateException(e);
          } finally {
            done.countDown();
          }
        };
    boolean isHeld = kind.equals("lock") || kind.equals("monitor");
    if (!isHeld) {
      for (int i = 0; i < threads; i++) {
        start.invoke(null, task);
      }
      done.await();
      return;
    }
    LOCK.lock();
    synchronized (MONITOR) {
      for (int i = 0; i < threads; i++) {
        start.invoke(null, task);
      }
      Thread.sleep(25);
    }
    LOCK.unlock();
    done.await();
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("ready");
    Scanner commands = new Scanner(System.in);
    while (commands.hasNext()) {
      String kind = commands.next();
      int threads = commands.nextInt();
      int calls = commands.nextInt();
      if (kind.equals("yield")) {
        giveWay(calls);
      } else {
        run(kind, threads, calls);
      }
      System.out.println("done " + kind);
    }
  }
}
