// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.LoadedClasses;
import io.jprobe.catalog.Selection;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.control.Gateway;
import io.jprobe.guard.Guard;
import io.jprobe.guard.Limits;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import io.jprobe.stub.FireGuard;
import io.jprobe.stub.StubDirectory;
import io.jprobe.stub.StubException;
import io.jprobe.watch.Watcher;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * One run of the agent, from its start until it shuts down: wires the parts together, holds the
 * selectors in force, and restores everything at the end. Runs on the watcher thread, except for
 * the start.
 */
final class Tracing {
  /** Time for which an agent that was loaded later waits for its first client. */
  private static final long FIRST_CLIENT_NANOS = 10_000_000_000L;

  final String version;
  final boolean isLoadedLater;
  final Catalog catalog;
  private final Options options;
  final Instrumentation instrumentation;

  /**
   * Null if the directory cannot be created. Stub libraries are then memfds, which jcollect can
   * trace and perf cannot.
   */
  private final StubDirectory directory;

  private final String directoryProblem;
  private final Transformer transformer;
  private final ApplicationCalls calls = new ApplicationCalls();

  /**
   * Calls of loaders for class files; a loader that does not answer these may still load classes.
   */
  final ApplicationCalls fileCalls = new ApplicationCalls();

  final LoadedClassFiles classFiles;
  private final ClassSearch search;
  private final Armer armer;
  private final Guard guard;
  private final Watcher watcher;
  private final Hold hold;
  final AskedLimits limits;
  final Limits overhead;
  private final Thread exitHook;
  private final long start = System.nanoTime();

  // Guarded by this.
  private Gateway gateway;
  private boolean isShutDown;

  // Written by the watcher thread only; the list does not change.
  private volatile List<ActiveSelector> selected = List.of();

  // Used by the watcher thread only.
  final Clients clients = new Clients();
  private boolean mustRescan;

  Tracing(
      Options options,
      String version,
      boolean isLoadedLater,
      int firstGeneration,
      Instrumentation instrumentation)
      throws StubException {
    this.options = options;
    this.version = version;
    this.isLoadedLater = isLoadedLater;
    this.instrumentation = instrumentation;
    StubDirectory created = null;
    String problem = "";
    try {
      created = StubDirectory.create(options.directory);
    } catch (StubException e) {
      problem = e.getMessage();
    }
    this.directory = created;
    this.directoryProblem = problem;
    this.catalog =
        new Catalog(
            options.selectors,
            version,
            directory == null ? null : directory.path(),
            options.maxMethods,
            firstGeneration,
            fileCalls,
            new LoadedClasses() {
              @Override
              public Class<?>[] all() {
                return instrumentation.getAllLoadedClasses();
              }
            });
    catalog.direct.setRingBytes(options.ringBytes);
    catalog.direct.stacks.setBytes(options.stackBytes);
    this.transformer = new Transformer(catalog);
    this.classFiles = new LoadedClassFiles(transformer, calls);
    this.search = new ClassSearch(instrumentation, catalog, classFiles);
    SelectionReport report = new SelectionReport(this, calls);
    this.armer =
        new Armer(
            instrumentation,
            transformer,
            calls,
            new Runnable() {
              @Override
              public void run() {
                eachSecond(report);
              }
            });
    this.overhead = new Limits(options.maxOverhead);
    this.guard = new Guard(overhead, new FireGuard(), armer);
    this.watcher = new Watcher(catalog, guard, armer);
    this.hold = new Hold(catalog);
    this.limits = new AskedLimits(catalog, options);
    this.exitHook =
        new Thread(null, null, "jprobe-exit", 0, false) {
          @Override
          public void run() {
            exit(report);
          }
        };
    List<ActiveSelector> given = new ArrayList<>();
    for (Selector selector : options.selectors.each()) {
      given.add(new ActiveSelector(selector, null, Selectors.UNLEASED));
    }
    selected = given;
  }

  /** Starts the agent, in the thread that loads it. On failure, leaves nothing behind. */
  void start() throws StubException {
    try {
      openCatalog();
      instrumentation.addTransformer(transformer, true);
      search.enqueueAtStart(isLoadedLater);
      Runtime.getRuntime().addShutdownHook(exitHook);
      if (options.control || isHeld()) {
        openGatewayIfPossible();
      }
      watcher.start();
    } catch (StubException | RuntimeException | Error e) {
      shutDown();
      throw e;
    }
  }

  private boolean isHeld() {
    return options.hold > 0 && !isLoadedLater;
  }

  /** Waits before main until a collector has attached to its probes, if the options say so. */
  void awaitCollector() {
    if (isHeld() && hasGateway()) {
      hold.awaitCollector(options.hold);
    }
  }

  private synchronized boolean hasGateway() {
    return gateway != null;
  }

  private void openCatalog() throws StubException {
    try {
      guard.open(catalog.open());
    } catch (StubException e) {
      throw directory == null
          ? new StubException(directoryProblem + "; and in memory: " + e.getMessage())
          : e;
    }
    if (directory == null) {
      String consequence = options.control ? ", and the agent cannot be commanded" : "";
      Log.line(directoryProblem + "; stub libraries are kept in memory" + consequence);
    }
  }

  /** Opens the gateway. An agent that was loaded to be commanded cannot do without. */
  private void openGatewayIfPossible() throws StubException {
    try {
      openGateway();
    } catch (StubException e) {
      if (isLoadedLater) {
        throw e;
      }
      if (directory != null) {
        Log.line(e.getMessage() + "; the agent cannot be commanded");
      }
    }
  }

  /** Opens the gateway for clients that request it by a file: see docs/attach.md. */
  private void openGatewayIfRequested() {
    if (directory != null && directory.takeKnock()) {
      try {
        openGateway();
      } catch (StubException e) {
        Log.line(e.getMessage() + "; the agent cannot be commanded");
      }
    }
  }

  private void exit(SelectionReport report) {
    if (!isLoadedLater) {
      report.reportAtExit();
    }
    if (directory != null) {
      directory.remove();
    }
  }

  /** Opens the gateway if it is not open. */
  synchronized void openGateway() throws StubException {
    if (isShutDown) {
      throw new StubException("the agent is shutting down; try again");
    }
    if (gateway != null) {
      return;
    }
    if (directory == null) {
      throw new StubException(
          "commands need a stub directory, for the port and the token of the control gateway; set"
              + " the option dir to a writable directory");
    }
    gateway = Gateway.open(new CommandExecutor(this, watcher), directory.path(), Log::line);
  }

  List<ActiveSelector> selected() {
    return selected;
  }

  /**
   * Puts other selectors in force, and weaves and restores the classes that this concerns.
   *
   * @param changed the selectors that were added, removed or moved
   * @param given those that were added; nothing changes if one of them can trace nothing
   */
  Selection select(List<ActiveSelector> next, List<Selector> changed, List<Selector> given)
      throws StubException {
    Map<Selector, Integer> owners = new IdentityHashMap<>();
    next.forEach(one -> owners.put(one.selector, one.owner));
    Selectors selectors =
        Selectors.of(
            next.stream().map(one -> one.selector).collect(Collectors.toList()), owners::get);
    // After a refusal no method has probes, so every class is concerned.
    List<Selector> concerned = catalog.refusal().isEmpty() ? changed : selectors.each();
    catalog.announce(selectors);
    Selection result = catalog.select(selectors, search.read(concerned, selectors), given, armer);
    if (result.refusal.isEmpty()) {
      selected = new ArrayList<>(next);
      mustRescan = true;
    }
    armNow();
    return result;
  }

  /** Returns all methods with probes whose captures one of these selectors determines. */
  List<Map.Entry<TracedClass, TracedMethod>> decidedBy(List<Selector> selectors) {
    Set<Selector> deciding = Set.copyOf(selectors);
    List<Map.Entry<TracedClass, TracedMethod>> decided = new ArrayList<>();
    for (TracedClass traced : catalog.classes()) {
      for (TracedMethod method : traced.methods()) {
        if (method.isDecidedBy(deciding)) {
          decided.add(Map.entry(traced, method));
        }
      }
    }
    return decided;
  }

  /** Arms the probes that a client has attached to, before the program goes on with them. */
  void attached(Object client, int next) throws StubException {
    armNow();
    hold.attached(client, next);
  }

  /** Arms the probes that a client leases instead of those before. If it cannot, leases none. */
  void lease(Object client, String events, String counts) throws StubException {
    catalog.leases.lease(client, events, counts);
    armNow();
    StubException problem = catalog.direct.problem();
    if (problem != null && catalog.leases.end(client)) {
      armNow();
      throw new StubException("cannot trace through shared memory: " + problem.getMessage());
    }
  }

  private void armNow() {
    watcher.pollNow();
    armer.finish();
  }

  /** Waits, in the client's thread, until a class waits for a library from this one on. */
  void awaitClass(int next) {
    hold.awaitClass(next);
  }

  void connected(Object client) {
    clients.add(client);
  }

  /** Unselects the selectors that the client leases, and shuts down an agent that is not used. */
  void disconnected(Object client) throws StubException {
    clients.remove(client);
    hold.disconnected(client, clients.isEmpty());
    if (catalog.leases.end(client)) {
      armNow();
    }
    List<ActiveSelector> kept = new ArrayList<>(selected);
    kept.removeIf(one -> one.client == client);
    if (kept.size() < selected.size()) {
      List<Selector> removed =
          selected.stream()
              .filter(one -> one.client == client)
              .map(one -> one.selector)
              .collect(Collectors.toList());
      select(kept, removed, List.of());
    }
    limits.disconnected(client);
    overhead.request(client, Limits.UNSET);
    shutDownIfUnused();
  }

  private void shutDownIfUnused() {
    boolean mayHaveClients = !clients.hadSome() && System.nanoTime() - start < FIRST_CLIENT_NANOS;
    if (isLoadedLater && selected.isEmpty() && clients.isEmpty() && !mayHaveClients) {
      shutDown();
    }
  }

  private void eachSecond(SelectionReport report) {
    Log.reportLost();
    transformer.forgetUnloaded();
    openGatewayIfRequested();
    if (mustRescan) {
      // A class may have been loading while the selectors changed.
      mustRescan = false;
      search.enqueueMissing();
    }
    search.enqueueLate();
    search.enqueueIncomplete();
    if (!isLoadedLater) {
      report.reportIfDue();
    }
    shutDownIfUnused();
  }

  /** Restores all classes, removes everything, and ends the watcher thread if it has started. */
  void shutDown() {
    hold.end();
    catalog.retireAll();
    watcher.pollNow();
    armer.finish();
    calls.close();
    fileCalls.close();
    instrumentation.removeTransformer(transformer);
    armer.shutDown();
    synchronized (this) {
      isShutDown = true;
      if (gateway != null) {
        gateway.close();
        gateway = null;
      }
    }
    if (directory != null) {
      directory.remove();
    }
    try {
      Runtime.getRuntime().removeShutdownHook(exitHook);
    } catch (IllegalStateException e) {
      // The JVM is shutting down, and the hook does the rest.
    }
    guard.close();
    catalog.close();
    watcher.shutDown();
    Agent.hasShutDown(this);
  }
}
