// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

/**
 * Creates a directory that only this user can access, in a parent that others may write to,
 * whatever the umask.
 *
 * <p>Java cannot set the permissions of a new directory, so with a umask of 0 others can write to
 * it for a moment. It is used only if it is still empty once they no longer can. From then on its
 * path refers only to files of this user, provided that its parent has the sticky bit or belongs to
 * this user.
 *
 * <p>Uses neither java.nio.file, whose file system the application may replace and which would be
 * loaded too early, nor SecureRandom, which would fix the security providers before the application
 * can choose them.
 */
final class PrivateDirectory {
  private static final int ATTEMPTS = 8;
  private static final int RANDOM_BYTES = 8;

  private PrivateDirectory() {}

  /**
   * Creates ".jprobe-PID-RANDOM", which is removed like an unfinished stub directory if it becomes
   * stale.
   *
   * @throws IOException if no directory can be created that only this user can access
   */
  static File make(File parent) throws IOException {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      File directory = new File(parent, ".jprobe-" + pid() + "-" + randomDigits());
      if (directory.mkdir()) {
        claim(directory);
        return directory;
      }
      // Unlike mkdir, createNewFile reports the reason of a failure.
      if (directory.createNewFile()) {
        directory.delete();
      }
    }
    throw new IOException("all tried names for a directory in it are in use");
  }

  private static void claim(File directory) throws IOException {
    try {
      keepFromOthers(directory, true);
      String[] entries = directory.list();
      if (entries == null || entries.length > 0) {
        throw new IOException("other users can write to " + directory);
      }
    } catch (IOException e) {
      directory.delete();
      throw e;
    }
  }

  /** Gives the owner all applicable permissions, and other users none. */
  static void keepFromOthers(File file, boolean isDirectory) throws IOException {
    // Removes each permission from all users, then restores it for the owner only.
    boolean done =
        file.setWritable(false, false)
            && file.setReadable(false, false)
            && file.setExecutable(false, false)
            && file.setReadable(true, true)
            && file.setWritable(true, true)
            && (!isDirectory || file.setExecutable(true, true));
    if (!done) {
      throw new IOException("cannot deny other users access to " + file);
    }
  }

  /** Returns the PID, for human readers only. ProcessHandle would delay the program's startup. */
  private static int pid() {
    try {
      return Integer.parseInt(new File("/proc/self").getCanonicalFile().getName());
    } catch (IOException | NumberFormatException | SecurityException e) {
      return 0;
    }
  }

  private static String randomDigits() {
    long number = System.nanoTime();
    try (InputStream random = new FileInputStream("/dev/urandom")) {
      for (byte one : random.readNBytes(RANDOM_BYTES)) {
        number = number << Byte.SIZE | one & 0xff;
      }
    } catch (IOException | SecurityException e) {
      // Another process may occupy a predictable name; then another name is tried.
    }
    String digits = Long.toHexString(number);
    return "0000000000000000".substring(digits.length()) + digits;
  }
}
