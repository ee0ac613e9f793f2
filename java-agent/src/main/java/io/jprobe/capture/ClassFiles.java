// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.classfile.ClassFile;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.util.HashMap;
import java.util.Map;

/**
 * Class files as one class loader would find them, without a class being loaded. For as long as a
 * burst of classes is read: what a loader finds can change.
 */
public final class ClassFiles {
  private final ClassLoader loader;
  private final Map<String, ClassFile> known = new HashMap<>();

  /**
   * @param loader null for the boot loader
   */
  public ClassFiles(ClassLoader loader) {
    this.loader = loader;
  }

  /** Makes a class known that need not have a file. */
  public void add(ClassFile file) {
    known.put(file.internalName, file);
  }

  /** The class of that internal name, or null if there is no file of it, or none to be read. */
  ClassFile find(String internalName) {
    if (!known.containsKey(internalName)) {
      known.put(internalName, read(internalName + ".class"));
    }
    return known.get(internalName);
  }

  private ClassFile read(String resource) {
    try {
      URL url =
          loader == null ? ClassLoader.getSystemResource(resource) : loader.getResource(resource);
      if (url == null) {
        return null;
      }
      URLConnection connection = url.openConnection();
      // Else the application's jar stays open.
      connection.setUseCaches(false);
      try (InputStream in = connection.getInputStream()) {
        return ClassFile.read(in.readAllBytes());
      }
    } catch (IOException | RuntimeException | LinkageError e) {
      // A loader is the application's code, and may do anything. That there is no file is said by
      // whoever wants it.
      return null;
    }
  }
}
