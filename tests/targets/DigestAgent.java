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
 * A second agent, which the JVM asks after ours: it sees the bytes that become the class, at each
 * definition and retransformation, and appends "class digest" to the file that it is given.
 */
public class DigestAgent {
  public static void premain(String options, Instrumentation instrumentation) {
    String[] parts = options.split(",");
    Path file = Path.of(parts[0]);
    String wanted = parts[1];
    instrumentation.addTransformer(
        new ClassFileTransformer() {
          @Override
          public byte[] transform(
              ClassLoader loader, String name, Class<?> type, ProtectionDomain domain, byte[] bytes) {
            if (name != null && name.startsWith(wanted)) {
              append(file, name + " " + digest(bytes) + "\n");
            }
            return null;
          }
        },
        true);
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
