// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selectors;
import java.io.File;
import java.io.InputStream;

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
    loadNative();
    String name = className.replace('.', '/');
    Catalog catalog = new Catalog(Selectors.parse("**#*"), "0.0.0", null);
    catalog.open();
    catalog.offer(PublishedClass.class.getClassLoader(), name, classFile);
    while (catalog.find(PublishedClass.class.getClassLoader(), name) == null) {
      catalog.publishDue(PublishedClass::fail);
      Thread.sleep(10);
    }
    return catalog.find(PublishedClass.class.getClassLoader(), name);
  }

  /** For classes that are well-formed. */
  static void fail(String className, RuntimeException problem) {
    throw problem;
  }
}
