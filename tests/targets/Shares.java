import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Scanner;
import java.util.concurrent.locks.LockSupport;

/**
 * Calls methods that spend their time in a known way, and prints what the kernel says about the
 * thread: "truth KIND ID DURATION READING ON_CPU RUN_QUEUE MINOR_FAULTS", in ns; READING is the
 * time that it took to ask the kernel. Reads one command per line: "KIND COUNT".
 */
public final class Shares {
  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
  private static final Object LOCK = new Object();
  private static final int PAGE = 4096;
  private static final int PAGES = 509;
  private static RandomAccessFile schedstat;
  private static RandomAccessFile stat;
  private static final byte[] BUFFER = new byte[1024];
  private static volatile long sink;

  private Shares() {}

  static int sleep(int id, int millis) {
    pause(millis);
    return id;
  }

  static int spin(int id, int millis) {
    work(millis);
    return id;
  }

  static int mixed(int id) {
    work(10);
    pause(10);
    return id;
  }

  static int lock(int id) {
    synchronized (LOCK) {
      return id;
    }
  }

  static int faults(int id, ByteBuffer memory) {
    for (int at = 0; at < memory.capacity(); at += PAGE) {
      memory.put(at, (byte) 1);
    }
    return id;
  }

  static int collect(int id) {
    work(5);
    System.gc();
    work(5);
    return id;
  }

  static int outer(int id) {
    work(3);
    inner(id, 5);
    work(3);
    return id;
  }

  static int inner(int id, int millis) {
    pause(millis);
    return id;
  }

  static int recurse(int id, int depth) {
    if (depth > 0) {
      pause(2);
      recurse(id, depth - 1);
      work(1);
    }
    return id;
  }

  private static void work(int millis) {
    long end = System.nanoTime() + millis * 1_000_000L;
    while (System.nanoTime() < end) {
      sink++;
    }
  }

  private static void pause(int millis) {
    long end = System.nanoTime() + millis * 1_000_000L;
    for (long left; (left = end - System.nanoTime()) > 0; ) {
      LockSupport.parkNanos(left);
    }
  }

  private static long field(RandomAccessFile file, int index) throws IOException {
    file.seek(0);
    int length = file.read(BUFFER);
    String text = new String(BUFFER, 0, length, StandardCharsets.US_ASCII);
    // The command in parentheses may contain blanks.
    return Long.parseLong(text.substring(text.indexOf(')') + 1).trim().split(" ")[index]);
  }

  /** Returns memory of a new file, of which no page is mapped yet. */
  private static ByteBuffer mapped(int bytes) throws IOException {
    Path file = Files.createTempFile("shares", "");
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      return channel.map(FileChannel.MapMode.READ_WRITE, 0, bytes);
    } finally {
      Files.delete(file);
    }
  }

  private static void call(String kind, int id) throws Exception {
    ByteBuffer memory = kind.equals("faults") ? mapped(PAGES * PAGE) : null;
    Thread holder = null;
    if (kind.equals("lock")) {
      Object held = new Object();
      boolean[] isHeld = new boolean[1];
      holder =
          new Thread(
              () -> {
                synchronized (LOCK) {
                  synchronized (held) {
                    isHeld[0] = true;
                    held.notifyAll();
                  }
                  pause(15);
                }
              });
      holder.start();
      synchronized (held) {
        while (!isHeld[0]) {
          held.wait();
        }
      }
    }
    long reading = System.nanoTime();
    long faults = field(stat, 7);
    long queued = field(schedstat, 1);
    long cpu = THREADS.getCurrentThreadCpuTime();
    long begun = System.nanoTime();
    switch (kind) {
      case "sleep":
        sleep(id, 20);
        break;
      case "spin":
        spin(id, 15);
        break;
      case "mixed":
        mixed(id);
        break;
      case "lock":
        lock(id);
        break;
      case "faults":
        faults(id, memory);
        break;
      case "collect":
        collect(id);
        break;
      case "outer":
        outer(id);
        break;
      case "recurse":
        recurse(id, 4);
        break;
      default:
        throw new IllegalArgumentException(kind);
    }
    long ended = System.nanoTime();
    cpu = THREADS.getCurrentThreadCpuTime() - cpu;
    queued = field(schedstat, 1) - queued;
    faults = field(stat, 7) - faults;
    reading = System.nanoTime() - reading - (ended - begun);
    System.out.printf(
        "truth %s %d %d %d %d %d %d%n", kind, id, ended - begun, reading, cpu, queued, faults);
    if (holder != null) {
      holder.join();
    }
  }

  public static void main(String[] args) throws Exception {
    schedstat = new RandomAccessFile("/proc/thread-self/schedstat", "r");
    stat = new RandomAccessFile("/proc/thread-self/stat", "r");
    for (int i = 0; i < Integer.getInteger("spinners", 0); i++) {
      Thread spinner = new Thread(() -> work(Integer.MAX_VALUE));
      spinner.setDaemon(true);
      spinner.start();
    }
    System.out.println("ready");
    Scanner commands = new Scanner(System.in);
    int id = 0;
    while (commands.hasNext()) {
      String kind = commands.next();
      int count = commands.nextInt();
      for (int i = 0; i < count; i++) {
        call(kind, ++id);
      }
      System.out.println("done " + kind);
    }
  }
}
