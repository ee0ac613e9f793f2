// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.JdkClasses;
import io.jprobe.catalog.ParameterNames;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.stub.LoadedClass;
import io.jprobe.weave.ClassWeaver;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.UnmodifiableClassException;
import java.security.ProtectionDomain;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.objectweb.asm.ClassReader;

/**
 * Called by the JVM for every class: queues new classes that a selector may match in the catalog,
 * and weaves armed ones. Runs in the thread that loads the class, and never makes loading fail.
 */
final class Transformer implements ClassFileTransformer {
  private static final ClassLoader AGENT = Transformer.class.getClassLoader();

  private final Catalog catalog;

  /** The classes passed to the transformer, with the reasons why methods could not be woven. */
  private final ConcurrentMap<TracedClass, Map<TracedMethod, String>> failures =
      new ConcurrentHashMap<>();

  /** The running retransformations by this agent. */
  private final List<Retransformation> retransformations = new CopyOnWriteArrayList<>();

  /** The running readers: usually none, and more than one only if one is stuck. */
  private final List<ClassFileReader> readers = new CopyOnWriteArrayList<>();

  // Guarded by this. Created on first use: main should not wait for the classes that it needs.
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

  /** Returns true if a class, of this binary name, belongs to the agent, which is never traced. */
  static boolean isOfAgent(ClassLoader loader, String className) {
    return loader == AGENT
        || className.startsWith("io.jprobe.agent.")
        || className.startsWith("java.jprobe.");
  }

  @Override
  public byte[] transform(
      Module module,
      ClassLoader loader,
      String definedName,
      Class<?> redefined,
      ProtectionDomain domain,
      byte[] classFile) {
    if (redefined != null) {
      for (ClassFileReader reader : readers) {
        if (reader.isReading()) {
          return reader.accept(redefined, classFile);
        }
      }
    }
    if (loader == AGENT) {
      return null;
    }
    String internalName = definedName;
    try {
      if (internalName == null) {
        // A loader may define a class without giving its name.
        internalName = new ClassReader(classFile).getClassName();
      }
      TracedClass traced = catalog.find(loader, internalName);
      if (traced != null) {
        return transform(traced, redefined, classFile);
      }
      String name = internalName.replace('/', '.');
      boolean inJdk = JdkClasses.has(module, loader);
      if (!isOfAgent(loader, name) && catalog.maySelect(name, inJdk)) {
        catalog.enqueue(loader, internalName, inJdk, classFile);
      }
    } catch (Throwable problem) {
      String which = internalName == null ? "a class without a name" : "class " + internalName;
      Log.line("cannot process " + which + ": " + Log.describe(problem));
    }
    return null;
  }

  /**
   * Returns the class files of loaded classes, as the JVM passes them to this transformer.
   *
   * @param unreadable receives the classes that the JVM does not pass
   */
  Map<Class<?>, byte[]> readClassFiles(List<Class<?>> classes, UnreadableClasses unreadable) {
    ClassFileReader reader = new ClassFileReader(unreadable);
    readers.add(reader);
    try {
      return reader.read(classes);
    } finally {
      readers.remove(reader);
    }
  }

  /**
   * Prepares methods for weaving. Calls the class's loader.
   *
   * @return why the class cannot be woven; null if it can
   */
  String prepare(TracedClass traced, Class<?> loaded, Set<TracedMethod> methods) {
    return weaver().prepare(traced, loaded, methods);
  }

  /** Forgets the results of weaving unloaded classes in retransformations by other agents. */
  void forgetUnloaded() {
    failures.keySet().removeIf(TracedClass::isUnloaded);
  }

  /** Forgets earlier results of weaving the class. */
  void forget(TracedClass traced) {
    failures.remove(traced);
  }

  /** Weaves all methods of the class and drops the result. */
  void rehearse(TracedClass traced, byte[] classFile) {
    weaver().weave(traced, traced.all(), classFile);
  }

  /** Returns the new class file of a traced class; null to leave it unchanged. */
  private byte[] transform(TracedClass traced, Class<?> redefined, byte[] classFile) {
    Retransformation own = redefined == null ? null : retransformation();
    try {
      return transform(traced, redefined, own, classFile);
    } finally {
      if (own != null) {
        own.passed();
      }
    }
  }

  private byte[] transform(
      TracedClass traced, Class<?> redefined, Retransformation own, byte[] classFile) {
    byte[] complete = classFile;
    if (redefined != null && (traced.wasArmed() || !traced.methods().isEmpty())) {
      try {
        // Also in retransformations by other agents: weaving could not restore what they lose.
        complete = ParameterNames.complete(redefined, classFile, traced.parameters());
      } catch (RuntimeException | Error problem) {
        if (own == null) {
          throw problem;
        }
        // The JVM gives up before it changes a class.
        own.problem = problem;
        return ClassFileReader.INVALID_CLASS_FILE;
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

  /** Returns this agent's retransformation that runs in this thread; null if none does. */
  private Retransformation retransformation() {
    for (Retransformation one : retransformations) {
      if (one.isOfThisThread()) {
        return one;
      }
    }
    return null;
  }

  /**
   * Retransforms classes, and returns how long that took.
   *
   * @throws RuntimeException or Error if a class file could not be completed; no class has changed
   */
  Retransformation retransform(Class<?>... classes) throws UnmodifiableClassException {
    Retransformation running = new Retransformation();
    retransformations.add(running);
    try {
      LoadedClass.retransform(classes);
      running.ended();
      return running;
    } catch (UnmodifiableClassException | RuntimeException | Error e) {
      running.rethrow();
      throw e;
    } finally {
      retransformations.remove(running);
    }
  }

  private byte[] weave(TracedClass traced, byte[] classFile) {
    try {
      ClassWeaver.Result result = weaver().weave(traced, traced.armed(), classFile);
      failures.put(traced, result.failures);
      return result.classFile;
    } catch (OutOfMemoryError problem) {
      // Treated as if the JVM had not called the transformer: no method has caused this.
      return null;
    } catch (Throwable problem) {
      Map<TracedMethod, String> all = new HashMap<>();
      traced.armed().keySet().forEach(method -> all.put(method, Log.describe(problem)));
      failures.put(traced, all);
      return null;
    }
  }

  /** Returns true if the JVM has passed the class to this transformer since {@link #forget}. */
  boolean wasCalledFor(TracedClass traced) {
    return failures.containsKey(traced);
  }

  /** Returns and forgets why methods of the class could not be woven. */
  Map<TracedMethod, String> takeFailures(TracedClass traced) {
    Map<TracedMethod, String> taken = failures.remove(traced);
    return taken == null ? Map.of() : taken;
  }
}
