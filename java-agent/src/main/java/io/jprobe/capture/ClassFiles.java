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
 * Class files as one class loader would find them, without a class being loaded. For as long as a
 * burst of classes is read: what a loader finds can change.
 */
public final class ClassFiles {
  /** Far beyond what compilers make; a loader's stream need not end. */
  private static final int MAX_SIZE = 16 << 20;

  private final ClassLoader loader;
  private final ApplicationCalls calls;
  private final Map<String, ClassFile> known = new HashMap<>();
  private final Map<String, String> problems = new HashMap<>();

  /**
   * @param loader null for the boot loader
   * @param calls runs the code of the loader
   */
  public ClassFiles(ClassLoader loader, ApplicationCalls calls) {
    this.loader = loader;
    this.calls = calls;
  }

  /** Makes a class known that need not have a file. */
  public void add(ClassFile file) {
    known.put(file.internalName, file);
  }

  /** The class of that internal name, or null if there is no file of it, or none to be read. */
  ClassFile find(String internalName) {
    if (!known.containsKey(internalName)) {
      known.put(internalName, read(internalName));
    }
    return known.get(internalName);
  }

  /** Why {@link #find} has found nothing; null if there is no such file. */
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

  /** Null if there is no such file. Runs code of the loader, and of the protocol that it uses. */
  private byte[] bytes(String resource) throws IOException {
    URL url =
        loader == null ? ClassLoader.getSystemResource(resource) : loader.getResource(resource);
    if (url == null) {
      return null;
    }
    URLConnection connection = url.openConnection();
    // Else the application's jar stays open.
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
