// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.ProbeKind;
import io.jprobe.layout.DirectSemaphoresLayout;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import io.jprobe.stub.StubLibrary;
import java.io.File;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Publishes test classes in real stub libraries, without a watcher. */
public final class PublishedClass {
  private static boolean nativeLoaded;

  private PublishedClass() {}

  /** Loads the native library as the agent does, once. */
  public static synchronized void loadNative() {
    if (!nativeLoaded) {
      System.load(new File(System.getProperty("jprobe.library")).getAbsolutePath());
      nativeLoaded = true;
    }
  }

  public static byte[] classFile(String className) throws Exception {
    String resource = className.replace('.', '/') + ".class";
    try (InputStream in = PublishedClass.class.getClassLoader().getResourceAsStream(resource)) {
      return in.readAllBytes();
    }
  }

  /** Publishes the class with every method selected. */
  public static TracedClass publish(String className, byte[] classFile) throws Exception {
    return publish(className, classFile, "**#*");
  }

  /** Publishes the class with the methods that the selectors match, which must fit. */
  public static TracedClass publish(String className, byte[] classFile, String selectors)
      throws Exception {
    loadNative();
    Catalog catalog = catalog(selectors);
    ClassLoader loader = PublishedClass.class.getClassLoader();
    TracedClass traced =
        enqueue(catalog, loader, className.replace('.', '/'), classFile, new NoFindings());
    turnTrapsOn(traced);
    return traced;
  }

  /** Lets all probes call their stubs, as if a tracer were attached. */
  private static void turnTrapsOn(TracedClass traced) {
    for (TracedMethod method : traced.methods()) {
      method.kinds().forEach(kind -> method.setSinks(method.slot(kind), Sinks.TRAP));
    }
  }

  /** Publishes several classes at once, with the methods that the selectors match. */
  public static Map<String, TracedClass> publish(Map<String, byte[]> classFiles, String selectors)
      throws Exception {
    return publish(classFiles, Selectors.parse(selectors));
  }

  /** Publishes several classes at once, with the methods that the selectors match. */
  public static Map<String, TracedClass> publish(
      Map<String, byte[]> classFiles, Selectors selectors) throws Exception {
    Catalog catalog = catalog(selectors, null, 100_000);
    ClassLoader loader = PublishedClass.class.getClassLoader();
    classFiles.forEach(
        (name, file) -> catalog.enqueue(loader, name.replace('.', '/'), false, file));
    Map<String, TracedClass> published = new HashMap<>();
    while (published.size() < classFiles.size()) {
      catalog.publishDue(new NoFindings());
      Thread.sleep(10);
      for (String name : classFiles.keySet()) {
        TracedClass traced = catalog.find(loader, name.replace('.', '/'));
        if (traced != null) {
          published.put(name, traced);
        }
      }
    }
    published.values().forEach(PublishedClass::turnTrapsOn);
    return published;
  }

  /** Returns an open catalog that uses memfds. */
  public static Catalog catalog(String selectors) throws Exception {
    return catalog(selectors, null, 5_000);
  }

  /** Returns an open catalog with a limit on its methods; null as directory for memfds. */
  public static Catalog catalog(String selectors, String directory, int maxMethods)
      throws Exception {
    return catalog(Selectors.parse(selectors), directory, maxMethods);
  }

  /** Returns the selectors of several owners, oldest first. */
  public static Selectors ofOwners(List<String> written) throws Exception {
    Map<Selector, Integer> owners = new LinkedHashMap<>();
    for (String some : written) {
      int owner = Selectors.UNLEASED + written.indexOf(some);
      Selectors.parse(some).each().forEach(selector -> owners.put(selector, owner));
    }
    return Selectors.of(List.copyOf(owners.keySet()), owners::get);
  }

  private static Catalog catalog(Selectors selectors, String directory, int maxMethods)
      throws Exception {
    loadNative();
    Catalog catalog =
        new Catalog(
            selectors,
            "0.0.0",
            directory,
            maxMethods,
            0,
            new ApplicationCalls(),
            () -> new Class<?>[0]);
    catalog.open();
    return catalog;
  }

  /** Queues a class and waits until it was read. */
  public static TracedClass enqueue(
      Catalog catalog,
      ClassLoader loader,
      String internalName,
      byte[] classFile,
      Catalog.Listener listener)
      throws Exception {
    catalog.enqueue(loader, internalName, false, classFile);
    while (catalog.find(loader, internalName) == null) {
      catalog.publishDue(listener);
      Thread.sleep(10);
    }
    return catalog.find(loader, internalName);
  }

  /**
   * Sets a semaphore, as the kernel does when tracers attach and detach. Uses the only view that is
   * writable.
   */
  public static void setSemaphore(StubLibrary library, int slot, int count) throws Exception {
    set("semaphores", library, Short.BYTES * slot, count);
  }

  private static void set(String view, StubLibrary library, int offset, int count)
      throws Exception {
    Field handle = StubLibrary.class.getDeclaredField("handle");
    handle.setAccessible(true);
    String natives = StubLibrary.class.getPackageName() + ".Native";
    Method semaphores = Class.forName(natives).getDeclaredMethod(view, long.class);
    semaphores.setAccessible(true);
    ByteBuffer writable = (ByteBuffer) semaphores.invoke(null, handle.get(library));
    writable.order(ByteOrder.nativeOrder()).putShort(offset, (short) count);
  }

  private static StubLibrary library(TracedMethod method) throws Exception {
    Field library = Generation.class.getDeclaredField("library");
    library.setAccessible(true);
    return (StubLibrary) library.get(method.generation());
  }

  /** Sets the semaphore of a probe. */
  public static void setSemaphore(TracedMethod method, ProbeKind kind, int count) throws Exception {
    setSemaphore(library(method), method.slot(kind), count);
  }

  /**
   * Sets a direct semaphore of a probe.
   *
   * @param semaphore its offset: see {@link DirectSemaphoresLayout}
   */
  public static void setDirect(TracedMethod method, ProbeKind kind, int semaphore, int count)
      throws Exception {
    int offset = DirectSemaphoresLayout.SIZE * method.slot(kind) + semaphore;
    set("directSemaphores", library(method), offset, count);
  }

  /** Returns the data that woven methods share with the guard; see FireGuardLayout. */
  public static ByteBuffer fireGuard() throws Exception {
    Method words =
        Class.forName(StubLibrary.class.getPackageName() + ".Native")
            .getDeclaredMethod("fireGuard");
    words.setAccessible(true);
    return ((ByteBuffer) words.invoke(null)).order(ByteOrder.nativeOrder());
  }

  /** A listener that expects no findings. */
  public static class NoFindings implements Catalog.Listener {
    @Override
    public void unreadable(String className, Throwable problem) {
      throw new AssertionError(className, problem);
    }

    @Override
    public void untraceable(String selector, String method, String problem) {
      throw new AssertionError(problem);
    }

    @Override
    public void disabled(String reason) {
      throw new AssertionError(reason);
    }
  }
}
