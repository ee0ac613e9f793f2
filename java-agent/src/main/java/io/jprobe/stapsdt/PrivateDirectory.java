// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stapsdt;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

/**
 * Makes a directory for this user alone in one that others may write to, whatever the umask is.
 *
 * <p>Java cannot say which permissions a new directory is to have, so with a umask of 0 others may
 * write to it for a moment. It is used only if they have left nothing in it by the time they
 * cannot: from then on its path leads to what this user has put there, as long as its parent has
 * the sticky bit or is this user's.
 *
 * <p>Without java.nio.file, whose file system may be the application's own and would be loaded
 * before the application begins; and without SecureRandom, which would decide on the security
 * providers before the application has said which.
 */
final class PrivateDirectory {
  private static final int ATTEMPTS = 8;
  private static final int RANDOM_BYTES = 8;

  private PrivateDirectory() {}

  /**
   * Makes ".jprobe-PID-RANDOM", which is swept as an unfinished stub directory is.
   *
   * @throws IOException if none can be made, or not for this user alone
   */
  static File make(File parent) throws IOException {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      File directory = new File(parent, ".jprobe-" + pid() + "-" + randomDigits());
      if (directory.mkdir()) {
        claim(directory);
        return directory;
      }
      // Fails with the reason, which mkdir does not tell.
      if (directory.createNewFile()) {
        directory.delete();
      }
    }
    throw new IOException("every name for a directory in it is taken");
  }

  private static void claim(File directory) throws IOException {
    try {
      keepFromOthers(directory, true);
      String[] entries = directory.list();
      if (entries == null || entries.length > 0) {
        throw new IOException("others can write to " + directory);
      }
    } catch (IOException e) {
      directory.delete();
      throw e;
    }
  }

  /** Gives the owner all permissions that make sense, and nobody else any. */
  static void keepFromOthers(File file, boolean isDirectory) throws IOException {
    // A permission is the owner's alone when it is taken from all and given back to the owner.
    boolean done =
        file.setWritable(false, false)
            && file.setReadable(false, false)
            && file.setExecutable(false, false)
            && file.setReadable(true, true)
            && file.setWritable(true, true)
            && (!isDirectory || file.setExecutable(true, true));
    if (!done) {
      throw new IOException("cannot keep " + file + " from other users");
    }
  }

  /** For people who look. ProcessHandle would take the start of the program more time. */
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
      // A name that can be foreseen can be taken, and then another is tried.
    }
    String digits = Long.toHexString(number);
    return "0000000000000000".substring(digits.length()) + digits;
  }
}
