// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import io.jprobe.catalog.PublishedClass;
import io.jprobe.stub.FireBinding;
import java.util.HashMap;
import java.util.Map;

/** Defines woven classes from bytes and delegates all others to the tests' loader. */
public final class Woven extends ClassLoader {
  private static boolean isBound;

  private final Map<String, byte[]> classes = new HashMap<>();

  Woven() {
    super(Woven.class.getClassLoader());
  }

  /** Installs and binds Fire once in the tests' JVM. */
  public static synchronized void bindFire() throws Exception {
    if (!isBound) {
      PublishedClass.loadNative();
      Class<?> fire = null;
      for (String name : FireBinding.CLASSES) {
        fire = FireBinding.define(name, PublishedClass.classFile(name.replace('/', '.')));
      }
      FireBinding.bind(fire, 128);
      isBound = true;
    }
  }

  void add(String className, byte[] classFile) {
    classes.put(className, classFile);
  }

  @Override
  protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
    synchronized (getClassLoadingLock(name)) {
      Class<?> loaded = findLoadedClass(name);
      byte[] bytes = classes.get(name);
      if (loaded == null && bytes != null) {
        loaded = defineClass(name, bytes, 0, bytes.length);
      }
      return loaded != null ? loaded : super.loadClass(name, resolve);
    }
  }
}
