import java.util.ArrayList;
import java.util.List;

/** Allocates, collects, contends for a monitor and starts threads, until stdin ends. */
public final class Pausing {
  private static final Object MONITOR = new Object();
  private static List<byte[]> kept = new ArrayList<>();

  private Pausing() {}

  static void collect() {
    for (int i = 0; i < 100; i++) {
      kept.add(new byte[50_000]);
    }
    if (kept.size() > 400) {
      kept = new ArrayList<>();
    }
    System.gc();
  }

  static void contend() throws InterruptedException {
    Thread other;
    synchronized (MONITOR) {
      other =
          new Thread(
              () -> {
                synchronized (MONITOR) {
                  kept.size();
                }
              },
              "contender");
      other.start();
      Thread.sleep(5);
    }
    other.join();
  }

  public static void main(String[] args) throws Exception {
    System.out.println("ready");
    while (System.in.read() >= 0) {
      for (int i = 0; i < 25; i++) {
        collect();
        contend();
      }
      System.out.println("done");
    }
  }
}
