// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.io.InputStream;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.MessageDigest;
import java.security.ProtectionDomain;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * A second agent, whose transformer runs after jprobe's and sees the final bytes of every class at
 * each retransformation. The last state of a class is the one seen when it was made. Another
 * retransformation would not show it, because it starts from the JVM's copy of the original class.
 */
public final class Witness implements ClassFileTransformer {
  /** Ends a retransformation that must change no class: see {@link #show}. */
  private static final class Last {}

  /**
   * Number of classes per retransformation. A class that cannot be linked is searched for within a
   * batch.
   */
  private static final int BATCH = 256;

  private static final byte[] NO_CLASS_FILE = new byte[8];

  /** Digests of the states of a class. */
  private static final class Sight {
    byte[] first;
    byte[] latest;
    boolean wasOther;

    /** Class file of a class that was loaded after {@link #takeDown}. */
    byte[] latestFile;
  }

  private static final Map<Class<?>, Sight> SIGHTS = new IdentityHashMap<>();

  private static final Map<String, Integer> AGAINST_FILES = new TreeMap<>();

  private static Instrumentation instrumentation;
  private static volatile Thread showing;
  private static volatile boolean cameToLast;
  private static volatile boolean isWatching;

  private Witness() {}

  public static void premain(String options, Instrumentation given) {
    instrumentation = given;
    given.addTransformer(new Witness(), true);
  }

  @Override
  public byte[] transform(
      ClassLoader loader, String name, Class<?> type, ProtectionDomain domain, byte[] classFile) {
    if (type == Last.class) {
      cameToLast = true;
      return NO_CLASS_FILE;
    }
    if (type != null && isWatching) {
      see(type, classFile);
    }
    return null;
  }

  private static void see(Class<?> type, byte[] classFile) {
    byte[] digest = digest(classFile);
    synchronized (SIGHTS) {
      Sight sight = SIGHTS.computeIfAbsent(type, unused -> new Sight());
      if (sight.first != null) {
        sight.wasOther |= !Arrays.equals(digest, sight.first);
      } else if (showing == Thread.currentThread()) {
        sight.first = digest;
        count(AGAINST_FILES, againstFile(type, classFile), type);
      } else {
        sight.latestFile = classFile;
      }
      sight.latest = digest;
    }
  }

  /** Counts a correct class by its verdict, and any other class by its name. */
  private static void count(Map<String, Integer> counts, String verdict, Class<?> type) {
    boolean isSame = Set.of("equal", "equivalent", "made by the program").contains(verdict);
    counts.merge(isSame ? verdict : type.getName() + " " + verdict, 1, Integer::sum);
  }

  /** Discards earlier records and records the current state of every class. */
  static void takeDown() {
    List<Class<?>> all = new ArrayList<>();
    synchronized (SIGHTS) {
      SIGHTS.clear();
      AGAINST_FILES.clear();
      for (Class<?> type : instrumentation.getAllLoadedClasses()) {
        if (instrumentation.isModifiableClass(type) && !type.isArray() && type != Last.class) {
          all.add(type);
        }
      }
    }
    Map<String, Integer> refused = new TreeMap<>();
    isWatching = true;
    showing = Thread.currentThread();
    for (int from = 0; from < all.size(); from += BATCH) {
      show(all.subList(from, Math.min(from + BATCH, all.size())), refused);
    }
    showing = null;
    AGAINST_FILES.forEach((how, count) -> System.out.println("file " + count + " " + how));
    refused.forEach((why, count) -> System.out.println("unlinkable " + count + " " + why));
  }

  /**
   * Makes the JVM pass the classes to the transformers without changing any. The JVM transforms all
   * classes before it changes the first, and fails because the last one gets an invalid class file.
   */
  private static void show(List<Class<?>> classes, Map<String, Integer> refused) {
    List<Class<?>> all = new ArrayList<>(classes);
    all.add(Last.class);
    cameToLast = false;
    Throwable problem = null;
    try {
      instrumentation.retransformClasses(all.toArray(new Class<?>[0]));
    } catch (Throwable e) {
      problem = e;
    }
    if (cameToLast) {
      return;
    }
    if (classes.size() == 1) {
      refused.merge(classes.get(0).getName() + ": " + problem, 1, Integer::sum);
      return;
    }
    int half = classes.size() / 2;
    show(classes.subList(0, half), refused);
    show(classes.subList(half, classes.size()), refused);
  }

  /** Prints the current state of all retransformed classes. */
  static void compare() {
    Map<Class<?>, Sight> sights;
    synchronized (SIGHTS) {
      isWatching = false;
      sights = new IdentityHashMap<>(SIGHTS);
    }
    Map<String, Integer> counts = new TreeMap<>();
    sights.forEach((type, sight) -> counts.merge(verdict(type, sight), 1, Integer::sum));
    counts.forEach((verdict, count) -> System.out.println("compared " + count + " " + verdict));
  }

  private static String verdict(Class<?> type, Sight sight) {
    if (sight.first == null) {
      Map<String, Integer> one = new TreeMap<>();
      count(one, againstFile(type, sight.latestFile), type);
      return "loaded since, to its file " + one.keySet().iterator().next();
    }
    if (!sight.wasOther) {
      return "never changed";
    }
    if (Arrays.equals(sight.first, sight.latest)) {
      return "restored";
    }
    return type.getName() + (canBeChanged(type) ? " not restored" : " never linked");
  }

  /**
   * Returns true if the JVM accepts new code for the class. The JVM changes only linked classes.
   * Some JVMs link a class only after all transformers have run, so the recorded code may never
   * have been in use.
   */
  private static boolean canBeChanged(Class<?> type) {
    Map<String, Integer> refused = new TreeMap<>();
    show(List.of(type), refused);
    return refused.isEmpty();
  }

  static byte[] digest(byte[] bytes) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(bytes);
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  /** Returns how the class file generated by the JVM compares with the file that was loaded. */
  private static String againstFile(Class<?> type, byte[] shown) {
    String name = type.getName().substring(type.getName().lastIndexOf('.') + 1) + ".class";
    try (InputStream in = type.getResourceAsStream(name)) {
      return in == null ? "made by the program" : ClassCode.compare(in.readAllBytes(), shown);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
