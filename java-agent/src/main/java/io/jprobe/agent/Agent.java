// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.Watcher;
import io.jprobe.select.SelectorException;
import io.jprobe.stapsdt.FireBinding;
import io.jprobe.stapsdt.StapsdtException;
import io.jprobe.stapsdt.StubDirectory;
import io.jprobe.weave.ClassWeaver;
import java.io.IOException;
import java.io.InputStream;
import java.jprobe.Fire;
import java.lang.instrument.Instrumentation;
import java.lang.instrument.UnmodifiableClassException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Wires the parts together when the program starts, and tidies up when it ends. */
public final class Agent {
  private Agent() {}

  /** Starts the agent, or says in one line why not. */
  public static void start(String written, Instrumentation instrumentation) throws Exception {
    try {
      Options options = Options.parse(written);
      NativeLibrary.load(options.directory);
      installFire(options.stringLimit, instrumentation);
      start(options, createDirectory(options.directory), instrumentation);
    } catch (OptionsException | SelectorException | StapsdtException e) {
      Log.line(e.getMessage() + "; the program runs untraced");
    } catch (LinkageError e) {
      Log.line("cannot start, is another jprobe in this JVM? " + e + "; the program runs untraced");
    }
  }

  private static void installFire(int stringLimit, Instrumentation instrumentation)
      throws StapsdtException {
    Class<?> fire = FireBinding.install(resource("java/jprobe/Fire.classdata"), stringLimit);
    // Its module is the boot loader's unnamed one: nothing of the application is in there.
    instrumentation.redefineModule(
        Object.class.getModule(),
        Set.of(),
        Map.of("jdk.internal.misc", Set.of(fire.getModule())),
        Map.of(),
        Set.of(),
        Map.of());
    // Initializes it: a JDK that it does not fit is to be found out here, not in the application.
    Fire.threadId();
  }

  /** Null, for memfds, where the directory cannot be had: its absence costs perf, not jcollect. */
  private static StubDirectory createDirectory(String parent) {
    try {
      return StubDirectory.create(parent);
    } catch (StapsdtException e) {
      Log.line(e.getMessage() + "; stub libraries are kept in memory");
      return null;
    }
  }

  private static void start(
      Options options, StubDirectory directory, Instrumentation instrumentation)
      throws StapsdtException {
    Catalog catalog =
        new Catalog(
            options.selectors,
            version(),
            directory == null ? null : directory.path(),
            options.maxMethods,
            instrumentation::getAllLoadedClasses);
    catalog.open();
    Transformer transformer = new Transformer(options.selectors, catalog, new ClassWeaver());
    SelectionReport report = new SelectionReport(catalog);
    instrumentation.addTransformer(transformer, true);
    offerLoaded(instrumentation, transformer);
    new Watcher(catalog, new Armer(instrumentation, transformer), report::soon).start();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                null,
                () -> {
                  report.atExit();
                  if (directory != null) {
                    directory.remove();
                  }
                },
                "jprobe-exit",
                0,
                false));
  }

  /** Lets the transformer see the selected classes that were there before it. */
  private static void offerLoaded(Instrumentation instrumentation, Transformer transformer) {
    List<Class<?>> selected = new ArrayList<>();
    for (Class<?> loaded : instrumentation.getAllLoadedClasses()) {
      if (!loaded.isArray()
          && transformer.maySelect(loaded.getModule(), loaded.getClassLoader(), loaded.getName())
          && instrumentation.isModifiableClass(loaded)) {
        selected.add(loaded);
      }
    }
    if (!selected.isEmpty()) {
      offer(selected, instrumentation);
    }
  }

  private static void offer(List<Class<?>> loaded, Instrumentation instrumentation) {
    try {
      instrumentation.retransformClasses(loaded.toArray(new Class<?>[0]));
    } catch (UnmodifiableClassException | RuntimeException | LinkageError | InternalError e) {
      if (loaded.size() == 1) {
        Log.line(
            "class "
                + loaded.get(0).getName()
                + " has no probes, the JVM does not show it: "
                + Log.describe(e));
      } else {
        // One class that cannot be linked is enough for the JVM to show none.
        loaded.forEach(one -> offer(List.of(one), instrumentation));
      }
    }
  }

  private static String version() throws StapsdtException {
    return new String(resource("version"), StandardCharsets.UTF_8).trim();
  }

  private static byte[] resource(String name) throws StapsdtException {
    try (InputStream in = Agent.class.getClassLoader().getResourceAsStream(name)) {
      if (in == null) {
        throw new StapsdtException("there is no " + name + " in the jar; is it complete?");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new StapsdtException("cannot read " + name + " from the jar: " + e.getMessage());
    }
  }
}
