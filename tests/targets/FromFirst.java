/**
 * Calls methods from its first instruction on: its own, those of classes that it loads later, and
 * those of one class from four threads at once. Prints the user, the arguments and its input.
 */
public class FromFirst {
  static final int EARLY = 21;
  static final int LATER = 10;
  static final int THREADS = 4;
  static final int EACH = 250;

  static void early() {}

  static class Initialized {
    static {
      initialize();
    }

    static void initialize() {}

    public static void call() {}
  }

  static class Later {
    public static void call() {}
  }

  static class Shared {
    static void call() {}
  }

  public static void main(String[] arguments) throws Exception {
    for (int i = 0; i < EARLY; i++) {
      early();
    }
    for (int i = 0; i < LATER; i++) {
      Initialized.call();
      Later.call();
    }
    Thread[] threads = new Thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
      threads[i] = new Thread(FromFirst::callShared);
      threads[i].start();
    }
    for (Thread each : threads) {
      each.join();
    }
    System.out.println("user " + System.getProperty("user.name"));
    System.out.println("arguments " + String.join(",", arguments));
    System.out.println("input " + new String(System.in.readAllBytes()).trim());
    System.err.println("its own stderr");
    System.exit(7);
  }

  static void callShared() {
    for (int i = 0; i < EACH; i++) {
      Shared.call();
    }
  }
}
