// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * Loads the native library from the jar, through a file in a directory that only this user can
 * access. Both are removed once the library is mapped; the next agent removes those of killed
 * processes (src/main/c/stub/stale.c). Tries several parent directories, because some may be
 * read-only, full or noexec.
 */
public final class NativeLibrary {
  private static final String FILE = "libjprobe.so";

  private static volatile boolean loaded;

  private NativeLibrary() {}

  /** Loads the library once; later calls do nothing. */
  public static synchronized void load(String preferredDirectory) throws StubException {
    if (loaded) {
      return;
    }
    byte[] library = read();
    Set<String> directories = new LinkedHashSet<>();
    directories.add(preferredDirectory);
    directories.add(System.getProperty("java.io.tmpdir"));
    directories.add("/dev/shm");
    directories.add("/var/tmp");
    directories.add(System.getProperty("user.home"));
    // The program may have removed a property or been started without it.
    directories.remove(null);
    StringBuilder problems = new StringBuilder();
    for (String directory : directories) {
      try {
        loadFrom(new File(directory), library);
        loaded = true;
        return;
      } catch (IllegalCallerException e) {
        // JEP 472: --illegal-native-access=deny, from JDK 24 on. Other directories would not
        // help.
        throw new StubException(
            "the JVM denies native access to jprobe; add --enable-native-access=" + module());
      } catch (IOException | UnsatisfiedLinkError e) {
        problems.append(problems.length() == 0 ? "" : "; ").append(directory);
        problems.append(": ").append(e.getMessage());
      }
    }
    throw new StubException("cannot load the native library from any directory: " + problems);
  }

  public static boolean isLoaded() {
    return loaded;
  }

  private static String module() {
    Module module = NativeLibrary.class.getModule();
    return module.isNamed() ? module.getName() : "ALL-UNNAMED";
  }

  private static byte[] read() throws StubException {
    String name = "native/linux-" + architecture() + "/libjprobe.so";
    try (InputStream in = NativeLibrary.class.getClassLoader().getResourceAsStream(name)) {
      if (in == null) {
        throw new StubException(
            "the jar has no " + name + "; jprobe supports Linux on x86_64 and aarch64");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new StubException("cannot read " + name + " from the jar: " + e.getMessage());
    }
  }

  private static String architecture() {
    String name = System.getProperty("os.arch");
    return name.equals("amd64") ? "x86_64" : name;
  }

  private static void loadFrom(File parent, byte[] library) throws IOException {
    File directory = PrivateDirectory.make(parent);
    File file = new File(directory, FILE);
    try {
      write(file, library);
      System.load(file.getAbsolutePath());
    } finally {
      file.delete();
      directory.delete();
    }
  }

  /** Writes the library and verifies the file, because any other contents would be foreign code. */
  private static void write(File file, byte[] library) throws IOException {
    if (!file.createNewFile()) {
      throw new IOException(file + " exists and was not created by jprobe");
    }
    PrivateDirectory.keepFromOthers(file, false);
    try (FileOutputStream out = new FileOutputStream(file)) {
      out.write(library);
    }
    try (FileInputStream in = new FileInputStream(file)) {
      if (!Arrays.equals(library, in.readAllBytes())) {
        throw new IOException(file + " differs from what jprobe has written");
      }
    }
  }
}
