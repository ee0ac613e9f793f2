// SPDX-License-Identifier: Apache-2.0

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.ProtectionDomain;
import java.util.Arrays;

/**
 * An agent that retransforms the classes of {@link ManyClasses} without changing them: the part of
 * arming that is the JVM's. It starts when the file that its options name exists, and prints the
 * time in ms.
 */
public class Retransforms {
  /** As many as in most of jprobe's batches. */
  private static final int BATCH = 512;

  public static void premain(String file, Instrumentation instrumentation) {
    instrumentation.addTransformer(new Unchanged(), true);
    Thread thread = new Thread(() -> run(Path.of(file), instrumentation));
    thread.setDaemon(true);
    thread.start();
  }

  private static class Unchanged implements ClassFileTransformer {
    @Override
    public byte[] transform(
        ClassLoader loader, String name, Class<?> redefined, ProtectionDomain domain, byte[] file) {
      return null;
    }
  }

  private static void run(Path start, Instrumentation instrumentation) {
    try {
      while (!Files.exists(start)) {
        Thread.sleep(10);
      }
      Class<?>[] all =
          Arrays.stream(instrumentation.getAllLoadedClasses())
              .filter(one -> one.getName().startsWith("ManyClasses$C"))
              .toArray(Class<?>[]::new);
      long begin = System.nanoTime();
      for (int from = 0; from < all.length; from += BATCH) {
        instrumentation.retransformClasses(
            Arrays.copyOfRange(all, from, Math.min(from + BATCH, all.length)));
      }
      System.out.println("retransformed in " + (System.nanoTime() - begin) / 1_000_000 + " ms");
    } catch (Exception e) {
      System.out.println("failed: " + e);
    }
  }
}
