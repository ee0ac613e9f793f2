/** Calls methods with the time at which they are called. Exits when stdin ends. */
public final class Starts {
  private Starts() {}

  static int work(long began, int millis) throws InterruptedException {
    if (millis > 0) {
      Thread.sleep(millis);
    }
    if (millis == 3) {
      throw new IllegalStateException("three");
    }
    return millis;
  }

  /** More arguments than registers. */
  static double wide(long began, long a, long b, long c, long d, long e, double f, String g) {
    return f;
  }

  public static void main(String[] args) throws Exception {
    System.out.println("ready");
    while (System.in.read() >= 0) {
      for (int i = 0; i < 20; i++) {
        for (int millis : new int[] {0, 0, 2, 3}) {
          try {
            work(System.nanoTime(), millis);
          } catch (IllegalStateException expected) {
            // Its throw probe fires.
          }
        }
        wide(System.nanoTime(), 1, 2, 3, 4, 5, 6, "seven");
      }
      System.out.println("called");
    }
  }
}
