// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.select.SelectorException;
import io.jprobe.stub.FireBinding;
import io.jprobe.stub.NativeLibrary;
import io.jprobe.stub.StandardError;
import io.jprobe.stub.StubException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.jprobe.Fire;
import java.lang.instrument.Instrumentation;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;

/** The agent of this JVM, at most one at a time: started with the JVM or loaded later. */
public final class Agent {
  private static final AtomicReference<Tracing> CURRENT = new AtomicReference<>();

  private static volatile int nextGeneration;

  // Guarded by the class. An agent that shuts down must not acquire that lock: a starting one may
  // hold it and wait.
  private static Class<?> fire;

  private Agent() {}

  /** Starts the agent with the JVM, or logs in one line why it cannot start. */
  public static synchronized void start(String written, Instrumentation instrumentation)
      throws Exception {
    try {
      if (CURRENT.get() != null) {
        Log.line("this JVM has a jprobe agent already; the second -javaagent is ignored");
        return;
      }
      start(Options.parse(written), instrumentation, false);
    } catch (OptionsException | SelectorException | StubException e) {
      Log.line(e.getMessage() + "; the program runs untraced");
    } catch (LinkageError e) {
      Log.line(
          "cannot start: another jprobe may be in this JVM: " + e + "; the program runs untraced");
    }
  }

  /**
   * Loads the agent into the running JVM. If the JVM has one already, only opens its gateway.
   * Reports the result as one line in the file of the option "report"; without it, errors go to
   * stderr.
   */
  public static synchronized void load(String written, Instrumentation instrumentation) {
    String report = "";
    String outcome = "ok";
    try {
      Options options = Options.parse(written);
      report = options.report;
      checkVersion(options.version);
      Tracing current = CURRENT.get();
      if (current == null) {
        start(options, instrumentation, true);
      } else if (options.control) {
        current.openGateway();
      }
    } catch (OptionsException | SelectorException | StubException e) {
      outcome = e.getMessage();
    } catch (Throwable e) {
      outcome = "cannot start: " + e;
    }
    report(report, outcome);
  }

  private static void checkVersion(String wanted) throws StubException {
    String present = version();
    if (!wanted.isEmpty() && !wanted.equals(present)) {
      throw new StubException(
          "jprobe "
              + present
              + " is in this JVM already, and "
              + wanted
              + " cannot replace it; use jcollect "
              + present
              + ", or restart the JVM");
    }
  }

  private static void report(String file, String outcome) {
    if (!file.isEmpty()) {
      try (FileOutputStream out = new FileOutputStream(file)) {
        out.write((outcome + "\n").getBytes(StandardCharsets.UTF_8));
        return;
      } catch (IOException e) {
        Log.line("cannot write " + file + ": " + e.getMessage());
      }
    }
    if (!outcome.equals("ok")) {
      Log.line(outcome + "; the program runs untraced");
    }
  }

  private static void start(Options options, Instrumentation instrumentation, boolean later)
      throws StubException {
    if (fire == null) {
      NativeLibrary.load(options.directory);
      StandardError.open();
      fire = installFire(instrumentation);
    }
    FireBinding.bind(fire, options.stringLimit);
    // Initializes the class: if it does not fit the JDK, the error must not occur in the
    // application.
    Fire.threadId();
    Tracing tracing = new Tracing(options, version(), later, nextGeneration, instrumentation);
    CURRENT.set(tracing);
    tracing.start();
    tracing.awaitCollector();
  }

  private static Class<?> installFire(Instrumentation instrumentation) throws StubException {
    Class<?> installed = null;
    for (String name : FireBinding.CLASSES) {
      installed = FireBinding.define(name, resource(name + ".classdata"));
    }
    // Its module is the boot loader's unnamed one, which has no classes of the application.
    instrumentation.redefineModule(
        Object.class.getModule(),
        Set.of(),
        Map.of("jdk.internal.misc", Set.of(installed.getModule())),
        Map.of(),
        Set.of(),
        Map.of());
    return installed;
  }

  /** Called when an agent has shut down. */
  static void hasShutDown(Tracing tracing) {
    nextGeneration = tracing.catalog.nextGeneration();
    CURRENT.compareAndSet(tracing, null);
  }

  private static String version() throws StubException {
    return new String(resource("version"), StandardCharsets.UTF_8).trim();
  }

  private static byte[] resource(String name) throws StubException {
    try (InputStream in = Agent.class.getClassLoader().getResourceAsStream(name)) {
      if (in == null) {
        throw new StubException(
            "cannot read " + name + " from the jar: it is missing; the jar may be incomplete");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new StubException("cannot read " + name + " from the jar: " + e.getMessage());
    }
  }
}
