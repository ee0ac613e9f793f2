// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.ParameterNames;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.weave.ClassWeaver;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.lang.instrument.UnmodifiableClassException;
import java.security.ProtectionDomain;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * What the JVM asks about every class: offers new ones that a selector may mean to the catalogue,
 * and weaves what is armed. It runs in the thread that loads the class, and never fails it.
 */
final class Transformer implements ClassFileTransformer {
  private static final ClassLoader AGENT = Transformer.class.getClassLoader();

  private final Catalog catalog;

  /** The classes that were woven, well or ill, with the methods that could not be, and why. */
  private final ConcurrentMap<TracedClass, Map<TracedMethod, String>> failures =
      new ConcurrentHashMap<>();

  /** One of the agent's own. */
  private static final class Retransformation {
    final Thread thread = Thread.currentThread();

    /** Why the JVM was given what is no class file; null if it was not. Of that thread. */
    Throwable problem;

    void rethrow() {
      if (problem instanceof Error) {
        throw (Error) problem;
      }
      if (problem != null) {
        throw (RuntimeException) problem;
      }
    }
  }

  /** What is under way of these. */
  private final List<Retransformation> retransformations = new CopyOnWriteArrayList<>();

  /** What the JVM is showing: nearly always nothing, and more than one where one is stuck. */
  private final List<Showing> showings = new CopyOnWriteArrayList<>();

  // Guarded by this, and made when it is first needed: it takes classes that main need not wait
  // for.
  private ClassWeaver weaver;

  Transformer(Catalog catalog) {
    this.catalog = catalog;
  }

  private synchronized ClassWeaver weaver() {
    if (weaver == null) {
      weaver = new ClassWeaver();
    }
    return weaver;
  }

  /** Whether a class, of this binary name, is a part of the agent, which is never traced. */
  static boolean isOurs(ClassLoader loader, String className) {
    return loader == AGENT
        || className.startsWith("io.jprobe.agent.")
        || className.startsWith("java.jprobe.");
  }

  @Override
  public byte[] transform(
      Module module,
      ClassLoader loader,
      String internalName,
      Class<?> redefined,
      ProtectionDomain domain,
      byte[] classFile) {
    if (redefined != null) {
      for (Showing showing : showings) {
        if (showing.isUnderWay()) {
          return showing.take(redefined, classFile);
        }
      }
    }
    // Classes without a name are defined by the JVM for itself.
    if (internalName == null || loader == AGENT) {
      return null;
    }
    try {
      TracedClass traced = catalog.find(loader, internalName);
      if (traced != null) {
        return answer(traced, redefined, classFile);
      }
      String name = internalName.replace('/', '.');
      boolean inJdk = Catalog.isOfJdk(module, loader);
      if (!isOurs(loader, name) && catalog.maySelect(name, inJdk)) {
        catalog.offer(loader, internalName, inJdk, classFile);
      }
    } catch (Throwable problem) {
      Log.line("cannot look at class " + internalName + ": " + Log.describe(problem));
    }
    return null;
  }

  /** The class files of loaded classes, as they come to this transformer. */
  Map<Class<?>, byte[]> show(List<Class<?>> classes, Instrumentation instrumentation) {
    Showing begun = new Showing(instrumentation);
    showings.add(begun);
    try {
      return begun.of(classes);
    } finally {
      showings.remove(begun);
    }
  }

  /**
   * Prepares for weaving what is to be armed, by code of the class's loader.
   *
   * @return why the class cannot be woven; null if it can
   */
  String prepare(TracedClass traced, Class<?> loaded, Set<TracedMethod> methods) {
    return weaver().prepare(traced, loaded, methods);
  }

  /** Forgets what came of weaving the class before. */
  void forget(TracedClass traced) {
    failures.remove(traced);
  }

  /** Weaves all of the class and drops the result. */
  void rehearse(TracedClass traced, byte[] classFile) {
    weaver().weave(traced, traced.all(), classFile);
  }

  /** Of a class that was read: as it is to be, or null for as it is. */
  private byte[] answer(TracedClass traced, Class<?> redefined, byte[] classFile) {
    Retransformation own = redefined == null ? null : retransformation();
    byte[] complete = classFile;
    if (redefined != null && (traced.wasArmed() || !traced.methods().isEmpty())) {
      try {
        // In others' retransformations, too: what they lost, weaving could not keep.
        complete = ParameterNames.complete(redefined, classFile, traced.parameters());
      } catch (RuntimeException | Error problem) {
        if (own == null) {
          throw problem;
        }
        // The JVM gives up before it has changed anything.
        own.problem = problem;
        return Showing.NO_CLASS_FILE;
      }
    }
    byte[] woven = null;
    if (!traced.armed().isEmpty()) {
      woven = weave(traced, complete);
    } else if (own != null && !traced.parameters().isEmpty()) {
      failures.put(traced, Map.of());
    }
    return woven == null && complete != classFile ? complete : woven;
  }

  /** The agent's own that is under way in this thread; null if none is. */
  private Retransformation retransformation() {
    for (Retransformation one : retransformations) {
      if (one.thread == Thread.currentThread()) {
        return one;
      }
    }
    return null;
  }

  /**
   * Has the JVM ask for these classes anew.
   *
   * @throws RuntimeException or Error, why one cannot be given what it needs: nothing has changed
   */
  void retransform(Class<?>[] classes, Instrumentation instrumentation)
      throws UnmodifiableClassException {
    Retransformation begun = new Retransformation();
    retransformations.add(begun);
    try {
      instrumentation.retransformClasses(classes);
    } catch (UnmodifiableClassException | RuntimeException | Error e) {
      begun.rethrow();
      throw e;
    } finally {
      retransformations.remove(begun);
    }
  }

  private byte[] weave(TracedClass traced, byte[] classFile) {
    try {
      ClassWeaver.Result result = weaver().weave(traced, traced.armed(), classFile);
      failures.put(traced, result.failures);
      return result.classFile;
    } catch (OutOfMemoryError problem) {
      // As if the JVM had not asked: it is no fault of the methods.
      return null;
    } catch (Throwable problem) {
      Map<TracedMethod, String> all = new HashMap<>();
      traced.armed().keySet().forEach(method -> all.put(method, Log.describe(problem)));
      failures.put(traced, all);
      return null;
    }
  }

  /** Whether the JVM has asked for the class since {@link #forget}. */
  boolean hasBeenAsked(TracedClass traced) {
    return failures.containsKey(traced);
  }

  /** Which methods of the class could not be woven since the last call, and why. */
  Map<TracedMethod, String> takeFailures(TracedClass traced) {
    Map<TracedMethod, String> taken = failures.remove(traced);
    return taken == null ? Map.of() : taken;
  }
}
