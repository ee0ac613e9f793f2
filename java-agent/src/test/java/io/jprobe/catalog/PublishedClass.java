// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.select.Selectors;
import java.io.File;
import java.io.InputStream;
import java.util.HashMap;
import java.util.Map;

/** A class of the tests with its probes in a real stub library, but with no watcher. */
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

  /** Publishes the class with the methods that the selectors mean, which have to fit. */
  public static TracedClass publish(String className, byte[] classFile, String selectors)
      throws Exception {
    loadNative();
    Catalog catalog = catalog(selectors);
    ClassLoader loader = PublishedClass.class.getClassLoader();
    return offer(catalog, loader, className.replace('.', '/'), classFile, new Complaints());
  }

  /** Publishes several classes at once, with the methods that the selectors mean. */
  public static Map<String, TracedClass> publish(Map<String, byte[]> classFiles, String selectors)
      throws Exception {
    Catalog catalog = catalog(selectors);
    ClassLoader loader = PublishedClass.class.getClassLoader();
    classFiles.forEach((name, file) -> catalog.offer(loader, name.replace('.', '/'), false, file));
    Map<String, TracedClass> published = new HashMap<>();
    while (published.size() < classFiles.size()) {
      catalog.publishDue(new Complaints());
      Thread.sleep(10);
      for (String name : classFiles.keySet()) {
        TracedClass traced = catalog.find(loader, name.replace('.', '/'));
        if (traced != null) {
          published.put(name, traced);
        }
      }
    }
    return published;
  }

  /** An open catalogue for memfds. */
  static Catalog catalog(String selectors) throws Exception {
    return catalog(selectors, null, 5_000);
  }

  /** An open catalogue with a limit on its methods; for memfds where there is no directory. */
  static Catalog catalog(String selectors, String directory, int maxMethods) throws Exception {
    loadNative();
    Catalog catalog =
        new Catalog(
            Selectors.parse(selectors),
            "0.0.0",
            directory,
            maxMethods,
            0,
            new ApplicationCalls(),
            () -> new Class<?>[0]);
    catalog.open();
    return catalog;
  }

  /** Offers a class and waits until it has been read. */
  static TracedClass offer(
      Catalog catalog,
      ClassLoader loader,
      String internalName,
      byte[] classFile,
      Catalog.Listener listener)
      throws Exception {
    catalog.offer(loader, internalName, false, classFile);
    while (catalog.find(loader, internalName) == null) {
      catalog.publishDue(listener);
      Thread.sleep(10);
    }
    return catalog.find(loader, internalName);
  }

  /** Where there should be nothing to say. */
  static class Complaints implements Catalog.Listener {
    @Override
    public void unreadable(String className, Throwable problem) {
      throw new AssertionError(className, problem);
    }

    @Override
    public void unfit(String method, String problem) {
      throw new AssertionError(problem);
    }

    @Override
    public void refused(String reason) {
      throw new AssertionError(reason);
    }
  }
}
