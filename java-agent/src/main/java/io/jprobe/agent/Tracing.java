// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.catalog.Catalog;
import io.jprobe.catalog.Guard;
import io.jprobe.catalog.Limits;
import io.jprobe.catalog.LoadedClasses;
import io.jprobe.catalog.Selection;
import io.jprobe.catalog.ShownClasses;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.catalog.Watcher;
import io.jprobe.control.Gateway;
import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import io.jprobe.stub.FireGuard;
import io.jprobe.stub.StubDirectory;
import io.jprobe.stub.StubException;
import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * One life of the agent, from its start to its end: wires the parts together, holds what is
 * selected, and puts everything back as it was. But for the start, all of it runs in the watcher's
 * thread.
 */
final class Tracing {
  /** How long an agent that was loaded later waits for its first client. */
  private static final long PATIENCE_NANOS = 10_000_000_000L;

  /** A selector in force, and the connection that leases it; null for none. */
  static final class Selected {
    final Selector selector;
    final Object client;

    Selected(Selector selector, Object client) {
      this.selector = selector;
      this.client = client;
    }
  }

  final String version;
  final boolean isLoadedLater;
  final Catalog catalog;
  private final Options options;
  private final Instrumentation instrumentation;

  /** Null, for memfds, where it cannot be had: its absence costs perf, not jcollect. */
  private final StubDirectory directory;

  private final String whyNoDirectory;
  private final Transformer transformer;
  private final ApplicationCalls calls = new ApplicationCalls();

  /** A loader that does not give files may give classes. */
  private final ApplicationCalls fileCalls = new ApplicationCalls();

  private final ClassShows shows;
  private final Armer armer;
  private final Guard guard;
  private final Watcher watcher;
  private final Thread exitHook;
  private final long begun = System.nanoTime();

  // Guarded by this.
  private Gateway gateway;
  private boolean hasEnded;

  // Of the watcher's thread.
  private List<Selected> selected = new ArrayList<>();
  private final Set<Object> clients = new HashSet<>();
  private boolean hadClients;
  private boolean mustLookAgain;

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
    StubDirectory made = null;
    String reason = "";
    try {
      made = StubDirectory.create(options.directory);
    } catch (StubException e) {
      reason = e.getMessage();
    }
    this.directory = made;
    this.whyNoDirectory = reason;
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
    this.transformer = new Transformer(catalog);
    this.shows = new ClassShows(instrumentation, transformer, calls);
    SelectionReport report = new SelectionReport(catalog);
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
    this.guard = new Guard(new Limits(options.maxOverhead), new FireGuard(), armer);
    this.watcher = new Watcher(catalog, guard, armer);
    this.exitHook =
        new Thread(null, null, "jprobe-exit", 0, false) {
          @Override
          public void run() {
            exit(report);
          }
        };
    for (Selector selector : options.selectors.each()) {
      selected.add(new Selected(selector, null));
    }
  }

  /** By the thread that starts the agent. What cannot be started leaves nothing behind. */
  void start() throws StubException {
    try {
      openCatalog();
      instrumentation.addTransformer(transformer, true);
      List<Class<?>> wanted =
          loaded(
              new Filter() {
                @Override
                public boolean takes(Class<?> type) {
                  return catalog.maySelect(type.getName(), isOfJdk(type));
                }
              });
      offer(isLoadedLater ? shows.of(wanted) : shows.atStart(wanted));
      Runtime.getRuntime().addShutdownHook(exitHook);
      if (options.control) {
        openGatewayIfPossible();
      }
      watcher.start();
    } catch (StubException | RuntimeException | Error e) {
      end();
      throw e;
    }
  }

  private void openCatalog() throws StubException {
    try {
      guard.open(catalog.open());
    } catch (StubException e) {
      throw directory == null
          ? new StubException(whyNoDirectory + "; and in memory: " + e.getMessage())
          : e;
    }
    if (directory == null) {
      String orders = options.control ? ", and the agent cannot be commanded" : "";
      Log.line(whyNoDirectory + "; stub libraries are kept in memory" + orders);
    }
  }

  /** An agent that was loaded to be commanded is of no use without. */
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

  /** For clients that cannot load the agent again to say so: see docs/attach.md. */
  private void openGatewayIfWanted() {
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
      report.atExit();
    }
    if (directory != null) {
      directory.remove();
    }
  }

  /** Lets the catalogue read classes that were there before the transformer. */
  private void offer(Map<Class<?>, byte[]> shown) {
    for (Map.Entry<Class<?>, byte[]> each : shown.entrySet()) {
      Class<?> type = each.getKey();
      catalog.offer(type.getClassLoader(), internalName(type), isOfJdk(type), each.getValue());
    }
  }

  private interface Filter {
    boolean takes(Class<?> type);
  }

  private List<Class<?>> loaded(Filter filter) {
    List<Class<?>> found = new ArrayList<>();
    for (Class<?> type : instrumentation.getAllLoadedClasses()) {
      if (!type.isArray()
          && filter.takes(type)
          && !Transformer.isOurs(type.getClassLoader(), type.getName())
          && instrumentation.isModifiableClass(type)) {
        found.add(type);
      }
    }
    return found;
  }

  private static boolean isOfJdk(Class<?> type) {
    return Catalog.isOfJdk(type.getModule(), type.getClassLoader());
  }

  private static String internalName(Class<?> type) {
    return type.getName().replace('.', '/');
  }

  /** Opens the gateway, if it is not open. */
  synchronized void openGateway() throws StubException {
    if (hasEnded) {
      throw new StubException("the agent is just being reset; try again");
    }
    if (gateway != null) {
      return;
    }
    if (directory == null) {
      throw new StubException(
          "commands need a stub directory, for the file that tells where to send them; say where"
              + " one can be made with dir=");
    }
    gateway = Gateway.open(new CommandDesk(this, watcher), directory.path(), Log::line);
  }

  List<Selected> selected() {
    return selected;
  }

  /**
   * Makes other selectors hold, and has everything woven and restored that this asks for.
   *
   * @param changed the selectors that have come, gone or moved
   */
  Selection select(List<Selected> next, List<Selector> changed) throws StubException {
    Selectors selectors =
        Selectors.of(next.stream().map(one -> one.selector).collect(Collectors.toList()));
    // After a refusal nothing has probes: every class is to be looked at.
    List<Selector> concerned = catalog.refusal().isEmpty() ? changed : selectors.each();
    catalog.announce(selectors);
    ShownClasses shown = new ShownClasses();
    shows
        .of(loaded(type -> isConcerned(type, concerned, selectors)))
        .forEach(
            (type, classFile) ->
                shown.add(type.getClassLoader(), internalName(type), isOfJdk(type), classFile));
    Selection result = catalog.select(selectors, shown, armer);
    if (result.refusal.isEmpty()) {
      selected = new ArrayList<>(next);
      mustLookAgain = true;
    }
    watcher.settleNow();
    armer.finish();
    return result;
  }

  private boolean isConcerned(Class<?> type, List<Selector> changed, Selectors next) {
    String name = type.getName();
    boolean inJdk = isOfJdk(type);
    TracedClass traced = catalog.find(type.getClassLoader(), internalName(type));
    return (next.mayMatch(name, inJdk) || traced != null && !traced.methods().isEmpty())
        && changed.stream().anyMatch(selector -> selector.mayMatch(name));
  }

  /** All methods with probes that one of these selectors has decided on. */
  List<Map.Entry<TracedClass, TracedMethod>> decidedBy(List<Selector> selectors) {
    Set<Selector> deciding = Set.copyOf(selectors);
    List<Map.Entry<TracedClass, TracedMethod>> decided = new ArrayList<>();
    for (TracedClass traced : catalog.classes()) {
      for (TracedMethod method : traced.methods()) {
        if (deciding.contains(method.selector())) {
          decided.add(Map.entry(traced, method));
        }
      }
    }
    return decided;
  }

  void connected(Object client) {
    clients.add(client);
    hadClients = true;
  }

  /** Takes back what the client leases; an agent that nobody uses ends. */
  void disconnected(Object client) throws StubException {
    clients.remove(client);
    List<Selected> kept = new ArrayList<>(selected);
    kept.removeIf(one -> one.client == client);
    if (kept.size() < selected.size()) {
      List<Selector> gone =
          selected.stream()
              .filter(one -> one.client == client)
              .map(one -> one.selector)
              .collect(Collectors.toList());
      select(kept, gone);
    }
    endIfUnused();
  }

  private void endIfUnused() {
    boolean mayHaveClients = !hadClients && System.nanoTime() - begun < PATIENCE_NANOS;
    if (isLoadedLater && selected.isEmpty() && clients.isEmpty() && !mayHaveClients) {
      end();
    }
  }

  private void eachSecond(SelectionReport report) {
    Log.reportLost();
    openGatewayIfWanted();
    if (mustLookAgain) {
      // A class may have been on its way into the JVM while the selectors changed.
      mustLookAgain = false;
      offer(
          shows.of(
              loaded(
                  type ->
                      catalog.maySelect(type.getName(), isOfJdk(type))
                          && catalog.find(type.getClassLoader(), internalName(type)) == null)));
    }
    offer(shows.late());
    if (!isLoadedLater) {
      report.soon();
    }
    endIfUnused();
  }

  /** Puts everything back as it was, and ends the watcher, if it has begun. */
  void end() {
    catalog.clear();
    watcher.settleNow();
    armer.finish();
    calls.close();
    fileCalls.close();
    instrumentation.removeTransformer(transformer);
    armer.end();
    synchronized (this) {
      hasEnded = true;
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
      // The JVM is shutting down, and the hook does what is left to do.
    }
    guard.close();
    catalog.close();
    watcher.end();
    Agent.hasEnded(this);
  }
}
