// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Gate;
import io.jprobe.catalog.Matches;
import io.jprobe.catalog.Selection;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.control.Commands;
import io.jprobe.guard.Limits;
import io.jprobe.select.GateSettings;
import io.jprobe.select.Match;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import io.jprobe.stub.StubException;
import io.jprobe.watch.Watcher;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** Executes each command on the watcher thread, and answers with a serialized message. */
final class CommandExecutor implements Commands {
  /** Maximum number of selectors that an error message lists. */
  private static final int MAX_LISTED = 5;

  private final Tracing tracing;
  private final Watcher watcher;
  private final ProgramSearch search;

  CommandExecutor(Tracing tracing, Watcher watcher) {
    this.tracing = tracing;
    this.watcher = watcher;
    this.search = new ProgramSearch(tracing);
  }

  private interface Command {
    void run(ControlReply reply) throws Exception;
  }

  private byte[] execute(Command command) {
    ControlReply reply = new ControlReply(tracing);
    try {
      return watcher.call(
          () -> {
            command.run(reply);
            return reply.toByteArray();
          });
    } catch (OptionsException | SelectorException | StubException | IllegalStateException e) {
      return reply.error(e.getMessage());
    } catch (Throwable e) {
      Log.line("a command has failed: " + Log.describe(e));
      return reply.error("the agent has failed: " + Log.describe(e));
    }
  }

  @Override
  public byte[] select(Object client, String written, boolean leased) {
    return execute(
        reply -> {
          List<Selector> given = Selectors.parse(written).each();
          Object owner = leased ? client : null;
          List<ActiveSelector> next = new ArrayList<>();
          int number = tracing.clients.number(owner);
          given.forEach(selector -> next.add(new ActiveSelector(selector, owner, number)));
          List<Selector> changed = new ArrayList<>(given);
          Set<String> texts = given.stream().map(Selector::toString).collect(Collectors.toSet());
          for (ActiveSelector one : tracing.selected()) {
            // A selector that is selected again moves to the front.
            if (one.client == owner && texts.contains(one.selector.toString())) {
              changed.add(one.selector);
            } else {
              next.add(one);
            }
          }
          Selection result = tracing.select(next, changed, given);
          if (!result.refusal.isEmpty()) {
            throw new StubException(result.refusal);
          }
          reply.given(given);
          reply.owner(number);
          reply.methods(tracing.decidedBy(given));
          reply.added(result.added);
          reply.failed(result.unreadable);
          given.forEach(selector -> reply.failed(result.matches.failed(selector)));
          List<Selector> together =
              next.stream()
                  .filter(one -> one.client == owner)
                  .map(one -> one.selector)
                  .collect(Collectors.toList());
          reply.state(problems(given, together, result.matches));
        });
  }

  /** Returns why some of these selectors determine no probes. */
  private Map<Selector, String> problems(
      List<Selector> given, List<Selector> together, Matches matches) {
    Set<Selector> deciding = new HashSet<>();
    for (Map.Entry<TracedClass, TracedMethod> each : tracing.decidedBy(given)) {
      each.getValue().selectedBy().forEach(match -> deciding.add(match.deciding()));
    }
    List<Selector> silent = new ArrayList<>(given);
    silent.removeIf(deciding::contains);
    Map<Selector, String> problems = new HashMap<>();
    List<Selector> unmatched = new ArrayList<>();
    for (Selector selector : silent) {
      Selector other = matches.overriddenBy(selector);
      if (other == null) {
        unmatched.add(selector);
      } else {
        problems.put(selector, "has no effect: '" + other + "' decides for the methods it matches");
      }
    }
    problems.putAll(search.explain(unmatched, together));
    return problems;
  }

  @Override
  public byte[] find(String pattern, int most) {
    return execute(reply -> search.find(pattern, most, reply));
  }

  @Override
  public byte[] explain(String written) {
    return execute(
        reply -> {
          List<Selector> given = Selectors.parse(written).each();
          Map<String, Integer> decided = new HashMap<>();
          for (TracedClass traced : tracing.catalog.classes()) {
            for (TracedMethod method : traced.methods()) {
              for (Match match : method.selectedBy()) {
                match
                    .selectors()
                    .forEach(selector -> decided.merge(selector.toString(), 1, Integer::sum));
              }
            }
          }
          List<Selector> untraced = new ArrayList<>(given);
          untraced.removeIf(selector -> decided.containsKey(selector.toString()));
          Map<Selector, String> problems = search.explain(untraced, given);
          for (Selector selector : given) {
            String text = selector.toString();
            String problem = problems.getOrDefault(selector, "");
            reply.selection(text, decided.getOrDefault(text, 0), problem);
          }
        });
  }

  @Override
  public byte[] unselect(String written) {
    return execute(
        reply -> {
          Set<String> texts = texts(written);
          List<ActiveSelector> kept = new ArrayList<>();
          List<Selector> removed = new ArrayList<>();
          for (ActiveSelector one : tracing.selected()) {
            if (texts.isEmpty() || texts.contains(one.selector.toString())) {
              removed.add(one.selector);
            } else {
              kept.add(one);
            }
          }
          removed.forEach(selector -> texts.remove(selector.toString()));
          if (!texts.isEmpty()) {
            throw new StubException(notInForce(texts.iterator().next()));
          }
          Selection result = tracing.select(kept, removed, List.of());
          if (!result.refusal.isEmpty()) {
            // The other selectors may match too many methods without an exclusion.
            throw new StubException(result.refusal);
          }
          reply.methods(result.removed);
          reply.state();
        });
  }

  private static Set<String> texts(String written) throws SelectorException {
    List<Selector> named = written.trim().isEmpty() ? List.of() : Selectors.parse(written).each();
    return named.stream().map(Selector::toString).collect(Collectors.toSet());
  }

  private String notInForce(String text) {
    List<String> inForce =
        tracing.selected().stream()
            .map(one -> "'" + one.selector + "'")
            .distinct()
            .collect(Collectors.toList());
    int more = inForce.size() - MAX_LISTED;
    String list = String.join(", ", inForce.subList(0, Math.min(inForce.size(), MAX_LISTED)));
    return "no selector '"
        + text
        + "' is in force; "
        + (inForce.isEmpty() ? "nothing is selected" : "in force: " + list)
        + (more > 0 ? " and " + more + " more" : "");
  }

  @Override
  public byte[] set(String ids, String written) {
    return execute(
        reply -> {
          GateSettings settings = GateSettings.parse(written);
          List<Map.Entry<TracedClass, TracedMethod>> methods = new ArrayList<>();
          for (String id : ids.trim().split(" +")) {
            Map.Entry<TracedClass, TracedMethod> found = tracing.catalog.findMethod(id);
            if (found == null) {
              throw new StubException(
                  "cannot set the gate of method " + id + ": it has no probes any more; try again");
            }
            methods.add(found);
          }
          // Applied after all methods were found: either all gates change or none.
          methods.forEach(method -> apply(settings, method.getValue()));
          reply.methods(methods);
          methods.forEach(method -> reply.gate(method.getValue()));
          reply.state();
        });
  }

  private static void apply(GateSettings settings, TracedMethod method) {
    setWord(method, Gate.LEAST_DURATION, settings, settings.leastDuration);
    setWord(method, Gate.EVERY, settings, settings.every);
    setWord(method, Gate.LIMIT, settings, Math.min(settings.perSecond, Gate.MAX_LIMIT));
  }

  private static void setWord(TracedMethod method, int offset, GateSettings settings, long value) {
    if (settings.asSelected) {
      method.setGateWord(offset, method.selectedGateWord(offset));
    } else if (value != GateSettings.UNCHANGED) {
      method.setGateWord(offset, value);
    }
  }

  @Override
  public byte[] attached(Object client, int next) {
    byte[] answer = execute(reply -> tracing.attached(client, next));
    // Other clients' commands do not wait for this one.
    tracing.awaitClass(next);
    return answer;
  }

  @Override
  public byte[] limits(Object client, String written, String scope) {
    return execute(
        reply -> {
          LimitSettings given = LimitSettings.parse(written);
          switch (scope) {
            case "agent":
              tracing.limits.set(given);
              break;
            case "selection":
              tracing.limits.raise(given);
              break;
            case "client":
              tracing.limits.raise(client, given);
              break;
            default:
              throw new OptionsException("limits have no scope '" + scope + "'");
          }
          reply.state();
        });
  }

  @Override
  public byte[] direct(Object client, String events, String counts) {
    return execute(reply -> tracing.lease(client, events, counts));
  }

  @Override
  public byte[] overhead(Object client, int percent) {
    return execute(
        reply -> {
          if (percent < Limits.UNSET || percent > Limits.MAX_PERCENT) {
            throw new OptionsException(
                "max-overhead must be at most " + Limits.MAX_PERCENT + ", and is " + percent);
          }
          tracing.overhead.request(client, percent);
        });
  }

  @Override
  public byte[] status() {
    return execute(
        reply -> {
          for (TracedClass traced : tracing.catalog.classes()) {
            for (TracedMethod method : traced.methods()) {
              if (isGateChanged(method)) {
                reply.methods(List.of(Map.entry(traced, method)));
                reply.gate(method);
              }
            }
          }
          reply.state();
        });
  }

  private static boolean isGateChanged(TracedMethod method) {
    for (int offset : Gate.settings()) {
      if (method.gateWord(offset) != method.selectedGateWord(offset)) {
        return true;
      }
    }
    return false;
  }

  @Override
  public byte[] reset() {
    return execute(
        reply -> {
          tracing.shutDown();
          reply.state();
        });
  }

  @Override
  public void connected(Object client) {
    execute(reply -> tracing.connected(client));
  }

  @Override
  public void disconnected(Object client) {
    execute(reply -> tracing.disconnected(client));
  }
}
