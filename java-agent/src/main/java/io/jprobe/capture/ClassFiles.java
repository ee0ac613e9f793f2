// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.calls.ApplicationException;
import io.jprobe.classfile.ClassFile;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.util.HashMap;
import java.util.Map;

/**
 * Finds class files as one class loader would, without loading classes. Used for one burst of
 * classes only, because the results of a loader can change.
 */
public final class ClassFiles {
  /**
   * Maximum size of a class file in bytes, far above those of compilers. A loader's stream may be
   * endless.
   */
  private static final int MAX_SIZE = 16 << 20;

  private final ClassLoader loader;
  private final ApplicationCalls calls;
  private final Map<String, ClassFile> known = new HashMap<>();
  private final Map<String, String> problems = new HashMap<>();
  private boolean hasMissed;

  /**
   * @param loader class loader; null for the boot loader
   * @param calls runs code of the loader
   */
  public ClassFiles(ClassLoader loader, ApplicationCalls calls) {
    this.loader = loader;
    this.calls = calls;
  }

  /** Adds a class that may have no file. */
  public void add(ClassFile file) {
    known.put(file.internalName, file);
  }

  /**
   * Returns the class of that internal name, or null if its file does not exist or cannot be read.
   */
  public ClassFile find(String internalName) {
    if (!known.containsKey(internalName)) {
      known.put(internalName, read(internalName));
    }
    hasMissed |= problems.containsKey(internalName);
    return known.get(internalName);
  }

  /** Records that a path needs a file that does not exist or cannot be read. */
  void miss() {
    hasMissed = true;
  }

  /**
   * Returns true if a needed file did not exist or could not be read since the last call. The
   * loader may provide it later.
   */
  public boolean takeMissed() {
    boolean taken = hasMissed;
    hasMissed = false;
    return taken;
  }

  /**
   * Returns the class file that the loader has as a resource, also of a class that was added; null
   * if it does not exist or cannot be read.
   */
  public ClassFile resource(String internalName) {
    return read(internalName);
  }

  /** Returns the reason why {@link #find} returned null; null if the file does not exist. */
  String problem(String internalName) {
    return problems.get(internalName);
  }

  private ClassFile read(String internalName) {
    String resource = internalName + ".class";
    try {
      byte[] bytes = calls.call(loader, () -> bytes(resource));
      return bytes == null ? null : ClassFile.read(bytes);
    } catch (ApplicationException e) {
      problems.put(internalName, e.getMessage());
    } catch (RuntimeException e) {
      problems.put(internalName, "it cannot be read: " + e);
    }
    return null;
  }

  /** Returns null if the file does not exist. Runs code of the loader and of its URL protocol. */
  private byte[] bytes(String resource) throws IOException {
    URL url =
        loader == null ? ClassLoader.getSystemResource(resource) : loader.getResource(resource);
    if (url == null) {
      return null;
    }
    URLConnection connection = url.openConnection();
    // Otherwise the application's jar stays open.
    connection.setUseCaches(false);
    try (InputStream in = connection.getInputStream()) {
      byte[] bytes = in.readNBytes(MAX_SIZE);
      if (bytes.length == MAX_SIZE) {
        throw new IOException("it has " + MAX_SIZE + " bytes or more");
      }
      return bytes;
    }
  }
}
