// SPDX-License-Identifier: Apache-2.0

import com.sun.tools.attach.VirtualMachine;
import java.io.File;
import java.lang.ref.Cleaner;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.List;
import java.util.Scanner;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/**
 * Runs methods in unusual situations and keeps its own count of calls and exceptions. The tests
 * trace all methods of the nested classes and the constructors of OddMaking. Any message on stderr
 * is a failure.
 *
 * <p>Prints "ready" when all classes are loaded. A line on stdin makes it run all situations and
 * exit through System.exit(7) in a traced method. A shutdown hook then prints a JSON object. For
 * each method it has the number of calls begun, of calls that threw ("… throw"), and of calls that
 * never end ("… open").
 */
public class OddPlaces {
  static final int CALLS = 1009;
  static final int FEW = 101;

  static final ConcurrentHashMap<String, AtomicLong> counts = new ConcurrentHashMap<>();
  static final AtomicLong cleaned = new AtomicLong();
  static final AtomicLong finalised = new AtomicLong();
  static final AtomicLong handled = new AtomicLong();

  static void count(String what) {
    counts.computeIfAbsent(what, key -> new AtomicLong()).incrementAndGet();
  }

  static RuntimeException failure(String method) {
    count(method + " throw");
    return new IllegalStateException(method);
  }

  static void fail(String method) {
    throw failure(method);
  }

  static void check(boolean holds, String what) {
    if (!holds) {
      System.err.println("wrong: " + what);
    }
  }

  // ---- traced classes ----

  static class Hook extends Thread {
    @Override
    public void run() {
      count("Hook#run");
      visitSimply("hook");
      printCounts();
    }
  }

  static class Visitor {
    static String visit(String place, int number) {
      count("Visitor#visit");
      return place;
    }
  }

  static class Exit {
    static void leave() {
      count("Exit#leave");
      count("Exit#leave open");
      // Returns only after the hook has printed all counts.
      System.exit(7);
    }
  }

  static class Finalised {
    @Override
    @SuppressWarnings({"deprecation", "removal"})
    protected void finalize() {
      count("Finalised#finalize");
      if (finalised.incrementAndGet() % 7 == 0) {
        throw failure("Finalised#finalize");
      }
    }
  }

  static class Cleaned implements Runnable {
    @Override
    public void run() {
      count("Cleaned#run");
      cleaned.incrementAndGet();
    }
  }

  static class Handler implements SignalHandler {
    @Override
    public void handle(Signal signal) {
      count("Handler#handle");
      handled.incrementAndGet();
    }
  }

  /** Returns Object, so that the compiler generates no bridge. */
  static class Fibonacci extends RecursiveTask<Object> {
    private final int number;

    Fibonacci(int number) {
      this.number = number;
    }

    @Override
    protected Object compute() {
      count("Fibonacci#compute");
      if (number < 2) {
        return number;
      }
      Fibonacci other = new Fibonacci(number - 2);
      other.fork();
      return (int) new Fibonacci(number - 1).compute() + (int) other.join();
    }
  }

  static class Sleeper implements Runnable {
    @Override
    public void run() {
      count("Sleeper#run");
      LockSupport.parkNanos(1_000_000);
      visitSimply("virtual");
    }
  }

  static class Dying implements Runnable {
    @Override
    public void run() {
      count("Dying#run");
      throw failure("Dying#run");
    }
  }

  static class Deep {
    private final String text = "deep";

    String text() {
      return text;
    }

    /**
     * Excluded from exact counts: near the end of the stack, a call may have room to fire but for
     * nothing more.
     */
    static int dive(Deep deep, int depth) {
      try {
        return dive(deep, depth + 1);
      } finally {
        named(deep);
      }
    }

    static Deep named(Deep deep) {
      return deep;
    }
  }

  static class Hoard {
    /** The caller passes the string, because a constant would be allocated on the full heap. */
    static byte[][] fill(List<byte[]> hoard, String place) {
      count("Hoard#fill");
      try {
        while (true) {
          hoard.add(new byte[1 << 20]);
        }
      } catch (OutOfMemoryError e) {
        Visitor.visit(place, hoard.size());
        hoard.clear();
        count("Hoard#fill throw");
        throw e;
      }
    }
  }

  static class Angry {
    @Override
    public boolean equals(Object other) {
      throw new IllegalStateException("equals");
    }

    @Override
    public int hashCode() {
      throw new IllegalStateException("hashCode");
    }

    @Override
    public String toString() {
      throw new IllegalStateException("toString");
    }

    Angry same(Angry other) {
      return other;
    }
  }

  static class Finally {
    @SuppressWarnings("finally")
    static int replaces(int number) {
      count("Finally#replaces");
      try {
        throw new IllegalArgumentException();
      } finally {
        if (number % 3 == 0) {
          return number;
        }
        throw failure("Finally#replaces");
      }
    }
  }

  static class Fresh {
    static {
      count("Fresh#<clinit>");
    }
  }

  static class Broken {
    static {
      count("Broken#<clinit>");
      fail("Broken#<clinit>");
    }
  }

  static class Parker {
    static void park(Thread waker) {
      count("Parker#park");
      waker.start();
      LockSupport.park();
    }
  }

  static class Interrupted {
    static boolean look() {
      count("Interrupted#look");
      return Thread.currentThread().isInterrupted();
    }
  }

  /** The JVM itself calls this loader to resolve the names in its classes. */
  static class Loader extends URLClassLoader {
    Loader() {
      super(new URL[] {OddPlaces.class.getProtectionDomain().getCodeSource().getLocation()}, null);
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      count("Loader#loadClass");
      return super.loadClass(name, resolve);
    }

    static Object load(String name) throws Exception {
      count("Loader#load");
      return new Loader().loadClass(name).getConstructor().newInstance();
    }
  }

  static class Attacher {
    static String attach(long pid) throws Exception {
      count("Attacher#attach");
      VirtualMachine machine = VirtualMachine.attach(Long.toString(pid));
      try {
        return machine.getSystemProperties().getProperty("odd");
      } finally {
        machine.detach();
      }
    }
  }

  /** The probes of name and age capture toString(), which calls both methods. */
  static class Mirror {
    String name() {
      return "mirror";
    }

    int age() {
      return 36;
    }

    @Override
    public String toString() {
      return name() + age();
    }
  }

  // ---- visits ----

  static void visitSimply(String place) {
    check(Visitor.visit(place, 1) == place, place + " has changed");
  }

  static void finalisers() throws Exception {
    for (int i = 0; i < FEW; i++) {
      new Finalised();
    }
    while (finalised.get() < FEW) {
      System.gc();
      Thread.sleep(10);
    }
  }

  static void cleaners() throws Exception {
    Cleaner cleaner = Cleaner.create();
    for (int i = 0; i < FEW; i++) {
      cleaner.register(new Object(), new Cleaned());
    }
    while (cleaned.get() < FEW) {
      System.gc();
      Thread.sleep(10);
    }
  }

  static void signals() throws Exception {
    Signal signal = new Signal("USR2");
    Signal.handle(signal, new Handler());
    for (int i = 1; i <= FEW; i++) {
      Signal.raise(signal);
      while (handled.get() < i) {
        Thread.sleep(1);
      }
    }
  }

  static void virtualThreads() throws Exception {
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < CALLS; i++) {
      threads.add(
          (Thread)
              Thread.class
                  .getMethod("startVirtualThread", Runnable.class)
                  .invoke(null, new Sleeper()));
    }
    for (Thread thread : threads) {
      thread.join();
    }
  }

  static void inThread(Runnable work, long stack) throws Exception {
    Thread thread = new Thread(null, work, "odd", stack);
    thread.start();
    thread.join();
  }

  static void endsOfStacks() {
    Deep deep = new Deep();
    for (int i = 0; i < 3; i++) {
      Throwable thrown = null;
      try {
        Deep.dive(deep, 0);
      } catch (Throwable e) {
        thrown = e;
      }
      check(thrown != null && thrown.getClass() == StackOverflowError.class, "threw " + thrown);
    }
    check(Deep.named(deep) == deep, "named");
  }

  static void dyingThreads() throws Exception {
    for (int i = 0; i < FEW; i++) {
      Throwable[] died = new Throwable[1];
      Thread thread = new Thread(new Dying());
      thread.setUncaughtExceptionHandler((dead, e) -> died[0] = e);
      thread.start();
      thread.join();
      check(died[0] instanceof IllegalStateException, "died of " + died[0]);
    }
  }

  static void outOfMemory() {
    for (int i = 0; i < 3; i++) {
      Throwable thrown = null;
      List<byte[]> hoard = new ArrayList<>();
      try {
        Hoard.fill(hoard, "out of memory");
      } catch (OutOfMemoryError e) {
        thrown = e;
      }
      check(thrown != null, "no OutOfMemoryError");
    }
  }

  interface Call {
    Object make() throws Throwable;
  }

  static Throwable thrownBy(Call call) {
    try {
      call.make();
      return null;
    } catch (Throwable e) {
      return e;
    }
  }

  /**
   * Makes a call that must throw, and counts it here. The called method does not count, because
   * other code calls it too.
   */
  static void assertThrows(String method, Call call) {
    count(method);
    count(method + " throw");
    check(thrownBy(call) instanceof IllegalStateException, method);
  }

  static void throwers() {
    Angry angry = new Angry();
    for (int i = 0; i < CALLS; i++) {
      int number = i;
      count("Angry#same");
      check(angry.same(angry) == angry, "same");
      assertThrows("Angry#equals", () -> angry.equals(null));
      assertThrows("Angry#hashCode", angry::hashCode);
      assertThrows("Angry#toString", angry::toString);
      check((thrownBy(() -> Finally.replaces(number)) == null) == (i % 3 == 0), "finally");
      check((thrownBy(() -> new OddMaking(number)) == null) == (number % 5 != 0), "constructor");
      check((thrownBy(() -> new OddMaking("" + number)) == null) == (number % 5 != 0), "this()");
    }
  }

  /**
   * Returns the number for this(). An exception in this() bypasses all exception handlers of the
   * constructor.
   */
  static int parsed(String number) {
    count("OddMaking#<init>");
    if (Integer.parseInt(number) % 5 == 0) {
      count("OddMaking#<init> open");
    }
    return Integer.parseInt(number);
  }

  static void initialisers() {
    check(thrownBy(Fresh::new) == null, "fresh");
    check(thrownBy(Broken::new) instanceof ExceptionInInitializerError, "broken");
    check(thrownBy(Broken::new) instanceof NoClassDefFoundError, "gone");
  }

  static void waits() {
    for (int i = 0; i < FEW; i++) {
      Thread waiting = Thread.currentThread();
      Parker.park(new Thread(() -> LockSupport.unpark(waiting)));
      Thread.currentThread().interrupt();
      check(Interrupted.look(), "not interrupted within");
      check(Thread.interrupted(), "not interrupted afterwards");
    }
  }

  static void loading() throws Exception {
    for (int i = 0; i < FEW; i++) {
      check(Loader.load("Later$First").toString().startsWith("Later$First"), "loaded");
    }
  }

  static void attaching() throws Exception {
    String java = System.getProperty("java.home") + "/bin/java";
    String here = System.getProperty("java.class.path");
    String parent = Long.toString(ProcessHandle.current().pid());
    Process child =
        new ProcessBuilder(java, "-cp", here, "-Dodd=child", "OddPlaces", "child", parent)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    Scanner lines = new Scanner(child.getInputStream());
    check(lines.nextLine().equals("parent"), "not attached to by the child");
    for (int i = 0; i < 3; i++) {
      check(Attacher.attach(child.pid()).equals("child"), "not attached to the child");
    }
    child.getOutputStream().close();
    child.waitFor();
  }

  static void child(long parent) throws Exception {
    System.out.println(Attacher.attach(parent));
    while (System.in.read() >= 0) {
      // Runs until the parent closes stdin.
    }
  }

  static void mirrors() {
    Mirror mirror = new Mirror();
    for (int i = 0; i < CALLS; i++) {
      mirror.name();
      count("Mirror#name");
      mirror.age();
      count("Mirror#age");
    }
  }

  static void printCounts() {
    StringBuilder text = new StringBuilder("{");
    new TreeMap<>(counts)
        .forEach(
            (what, count) ->
                text.append(text.length() == 1 ? "" : ", ").append('"' + what + "\": " + count));
    System.out.println(text.append('}'));
  }

  /** Loads the classes without initializing them, so that their initializers are traced too. */
  static void loadAll() throws Exception {
    URL here = OddPlaces.class.getProtectionDomain().getCodeSource().getLocation();
    for (String file : new File(here.toURI()).list((in, name) -> name.startsWith("Odd"))) {
      Class.forName(file.replace(".class", ""), false, OddPlaces.class.getClassLoader());
    }
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length > 0) {
      child(Long.parseLong(arguments[1]));
      return;
    }
    loadAll();
    Runtime.getRuntime().addShutdownHook(new Hook());
    System.setProperty("odd", "parent");
    System.out.println("ready");
    System.in.read();
    for (int i = 0; i < CALLS; i++) {
      visitSimply("main");
    }
    finalisers();
    cleaners();
    signals();
    check(new ForkJoinPool(3).invoke(new Fibonacci(14)).equals(377), "fibonacci");
    if (Runtime.version().feature() >= 21) {
      virtualThreads();
    }
    inThread(OddPlaces::endsOfStacks, 160 << 10);
    dyingThreads();
    outOfMemory();
    throwers();
    initialisers();
    waits();
    loading();
    if (ModuleLayer.boot().findModule("jdk.attach").isPresent()) {
      attaching();
    }
    mirrors();
    Exit.leave();
  }
}

/** Has constructors that throw; the second one throws in this(). */
class OddMaking {
  final int number;

  OddMaking(int number) {
    OddPlaces.count("OddMaking#<init>");
    this.number = number;
    if (number % 5 == 0) {
      throw OddPlaces.failure("OddMaking#<init>");
    }
  }

  OddMaking(String number) {
    this(OddPlaces.parsed(number));
  }
}
