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

/** The agent of this JVM: started with it or loaded later, at most once at a time. */
public final class Agent {
  private static final AtomicReference<Tracing> CURRENT = new AtomicReference<>();

  private static volatile int nextGeneration;

  // Guarded by the class, whose lock an ending agent must not need: a beginning one may wait for
  // it.
  private static Class<?> fire;

  private Agent() {}

  /** Starts the agent with the JVM, or says in one line why not. */
  public static synchronized void start(String written, Instrumentation instrumentation)
      throws Exception {
    try {
      if (CURRENT.get() != null) {
        Log.line("this JVM has a jprobe agent already; the second -javaagent is ignored");
        return;
      }
      begin(Options.parse(written), instrumentation, false);
    } catch (OptionsException | SelectorException | StubException e) {
      Log.line(e.getMessage() + "; the program runs untraced");
    } catch (LinkageError e) {
      Log.line("cannot start, is another jprobe in this JVM? " + e + "; the program runs untraced");
    }
  }

  /**
   * Loads the agent into the running JVM. If it is there already, only its gateway is opened. What
   * has become of it is one line in the file that the option "report" names, or else on stderr.
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
        begin(options, instrumentation, true);
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
    String here = version();
    if (!wanted.isEmpty() && !wanted.equals(here)) {
      throw new StubException(
          "jprobe "
              + here
              + " is in this JVM already, and "
              + wanted
              + " cannot take its place; use jcollect "
              + here
              + ", or start the JVM anew");
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

  private static void begin(Options options, Instrumentation instrumentation, boolean later)
      throws StubException {
    if (fire == null) {
      NativeLibrary.load(options.directory);
      StandardError.open();
      fire = installFire(instrumentation);
    }
    FireBinding.bind(fire, options.stringLimit);
    // Initializes it: a JDK that it does not fit is to be found out here, not in the application.
    Fire.threadId();
    Tracing begun = new Tracing(options, version(), later, nextGeneration, instrumentation);
    CURRENT.set(begun);
    begun.start();
  }

  private static Class<?> installFire(Instrumentation instrumentation) throws StubException {
    Class<?> installed = null;
    for (String name : FireBinding.CLASSES) {
      installed = FireBinding.define(name, resource(name + ".classdata"));
    }
    // Its module is the boot loader's unnamed one: nothing of the application is in there.
    instrumentation.redefineModule(
        Object.class.getModule(),
        Set.of(),
        Map.of("jdk.internal.misc", Set.of(installed.getModule())),
        Map.of(),
        Set.of(),
        Map.of());
    return installed;
  }

  static void hasEnded(Tracing ended) {
    nextGeneration = ended.catalog.nextGeneration();
    CURRENT.compareAndSet(ended, null);
  }

  private static String version() throws StubException {
    return new String(resource("version"), StandardCharsets.UTF_8).trim();
  }

  private static byte[] resource(String name) throws StubException {
    try (InputStream in = Agent.class.getClassLoader().getResourceAsStream(name)) {
      if (in == null) {
        throw new StubException("there is no " + name + " in the jar; is it complete?");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new StubException("cannot read " + name + " from the jar: " + e.getMessage());
    }
  }
}
