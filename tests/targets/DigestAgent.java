// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.ProtectionDomain;

/**
 * A second agent, whose transformer runs after jprobe's and sees the final bytes of a class at each
 * definition and retransformation. Appends "class digest" to the given file.
 *
 * <p>The JVM keeps no class file. It generates one for a retransformation, which differs from the
 * file that was loaded, so a comparison needs a first retransformation as its baseline. Creating a
 * file of the given name with ".retransform" added requests a retransformation; the agent removes
 * this file afterwards.
 */
public class DigestAgent {
  public static void premain(String options, Instrumentation instrumentation) {
    String[] parts = options.split(",");
    Path file = Path.of(parts[0]);
    String wanted = parts[1];
    instrumentation.addTransformer(transformer(file, wanted), true);
    Thread thread = new Thread(() -> obey(Path.of(file + ".retransform"), wanted, instrumentation));
    thread.setDaemon(true);
    thread.start();
  }

  /**
   * Reports one retransformation and detaches. An agent loaded into a running JVM transforms after
   * all agents loaded before.
   */
  public static void agentmain(String options, Instrumentation instrumentation) throws Exception {
    String[] parts = options.split(",");
    ClassFileTransformer transformer = transformer(Path.of(parts[0]), parts[1]);
    instrumentation.addTransformer(transformer, true);
    retransform(parts[1], instrumentation);
    instrumentation.removeTransformer(transformer);
  }

  static ClassFileTransformer transformer(Path file, String wanted) {
    return new ClassFileTransformer() {
      @Override
      public byte[] transform(
          ClassLoader loader, String name, Class<?> type, ProtectionDomain domain, byte[] bytes) {
        if (name != null && name.startsWith(wanted)) {
          tell(file, name, bytes);
        }
        return null;
      }
    };
  }

  /** Appends a line. If the heap is full, retries until that succeeds, without a time limit. */
  static void tell(Path file, String name, byte[] bytes) {
    while (true) {
      try {
        append(file, name + " " + digest(bytes) + "\n");
        return;
      } catch (OutOfMemoryError e) {
        Thread.yield();
      }
    }
  }

  static void retransform(String wanted, Instrumentation instrumentation) throws Exception {
    for (Class<?> type : instrumentation.getAllLoadedClasses()) {
      if (type.getName().replace('.', '/').equals(wanted)) {
        instrumentation.retransformClasses(type);
      }
    }
  }

  static void obey(Path request, String wanted, Instrumentation instrumentation) {
    try {
      while (true) {
        if (Files.exists(request)) {
          retransform(wanted, instrumentation);
          Files.delete(request);
        }
        Thread.sleep(10);
      }
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  static String digest(byte[] bytes) {
    try {
      return new BigInteger(1, MessageDigest.getInstance("SHA-256").digest(bytes)).toString(16);
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  static void append(Path file, String line) {
    try {
      Files.writeString(file, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }
}
