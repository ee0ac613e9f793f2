// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.agent.Tracing.Selected;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.Selection;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.catalog.Watcher;
import io.jprobe.control.Commands;
import io.jprobe.select.GateSettings;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import io.jprobe.select.Selectors;
import io.jprobe.stub.StubException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** The commands, each carried out by the watcher's thread and answered with a message. */
final class CommandDesk implements Commands {
  private static final int MAX_NAMED = 5;

  private final Tracing tracing;
  private final Watcher watcher;

  CommandDesk(Tracing tracing, Watcher watcher) {
    this.tracing = tracing;
    this.watcher = watcher;
  }

  private interface Command {
    void run(ControlReply reply) throws Exception;
  }

  private byte[] carryOut(Command command) {
    ControlReply reply = new ControlReply(tracing);
    try {
      return watcher.call(
          () -> {
            command.run(reply);
            return reply.toByteArray();
          });
    } catch (SelectorException | StubException | IllegalStateException e) {
      return reply.error(e.getMessage());
    } catch (Throwable e) {
      Log.line("a command has failed: " + Log.describe(e));
      return reply.error("the agent has failed: " + Log.describe(e));
    }
  }

  @Override
  public byte[] select(Object client, String written, boolean leased) {
    return carryOut(
        reply -> {
          List<Selector> given = Selectors.parse(written).each();
          Object owner = leased ? client : null;
          List<Selected> next = new ArrayList<>();
          given.forEach(selector -> next.add(new Selected(selector, owner)));
          List<Selector> changed = new ArrayList<>(given);
          Set<String> texts = given.stream().map(Selector::toString).collect(Collectors.toSet());
          for (Selected one : tracing.selected()) {
            // The same again is the same, moved to the front.
            if (one.client == owner && texts.contains(one.selector.toString())) {
              changed.add(one.selector);
            } else {
              next.add(one);
            }
          }
          Selection done = tracing.select(next, changed);
          if (!done.refusal.isEmpty()) {
            throw new StubException(done.refusal);
          }
          reply.given(given);
          reply.methods(tracing.decidedBy(given));
          reply.added(done.added);
          reply.failed(done.failed);
          reply.situation();
        });
  }

  @Override
  public byte[] unselect(String written) {
    return carryOut(
        reply -> {
          Set<String> texts = texts(written);
          List<Selected> kept = new ArrayList<>();
          List<Selector> gone = new ArrayList<>();
          for (Selected one : tracing.selected()) {
            if (texts.isEmpty() || texts.contains(one.selector.toString())) {
              gone.add(one.selector);
            } else {
              kept.add(one);
            }
          }
          gone.forEach(selector -> texts.remove(selector.toString()));
          if (!texts.isEmpty()) {
            throw new StubException(notInForce(texts.iterator().next()));
          }
          Selection done = tracing.select(kept, gone);
          if (!done.refusal.isEmpty()) {
            // An exclusion that goes can let in too many.
            throw new StubException(done.refusal);
          }
          reply.methods(done.removed);
          reply.situation();
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
    int more = inForce.size() - MAX_NAMED;
    String list = String.join(", ", inForce.subList(0, Math.min(inForce.size(), MAX_NAMED)));
    return "no selector '"
        + text
        + "' is in force; "
        + (inForce.isEmpty() ? "nothing is selected" : "there is " + list)
        + (more > 0 ? " and " + more + " more" : "");
  }

  @Override
  public byte[] set(String places, String written) {
    return carryOut(
        reply -> {
          GateSettings settings = GateSettings.parse(written);
          List<Map.Entry<TracedClass, TracedMethod>> methods = new ArrayList<>();
          for (String place : places.trim().split(" +")) {
            Map.Entry<TracedClass, TracedMethod> found = tracing.catalog.findPlace(place);
            if (found == null) {
              throw new StubException(
                  "there is no method " + place + " with probes, or not any more; try again");
            }
            methods.add(found);
          }
          // All are there: now none is left out.
          methods.forEach(method -> apply(settings, method.getValue()));
          reply.methods(methods);
          methods.forEach(method -> reply.gate(method.getValue()));
          reply.situation();
        });
  }

  private static void apply(GateSettings settings, TracedMethod method) {
    setWord(method, Gate.LEAST_DURATION, settings, settings.leastDuration);
    setWord(method, Gate.EVERY, settings, settings.every);
    setWord(method, Gate.LIMIT, settings, Math.min(settings.perSecond, Gate.MAX_LIMIT));
  }

  private static void setWord(TracedMethod method, int word, GateSettings settings, long value) {
    if (settings.asSelected) {
      method.setGateWord(word, method.selectedGateWord(word));
    } else if (value != GateSettings.UNCHANGED) {
      method.setGateWord(word, value);
    }
  }

  @Override
  public byte[] status() {
    return carryOut(
        reply -> {
          for (TracedClass traced : tracing.catalog.classes()) {
            for (TracedMethod method : traced.methods()) {
              if (isGateChanged(method)) {
                reply.methods(List.of(Map.entry(traced, method)));
                reply.gate(method);
              }
            }
          }
          reply.situation();
        });
  }

  private static boolean isGateChanged(TracedMethod method) {
    for (int word = Gate.LEAST_DURATION; word <= Gate.LIMIT; word++) {
      if (method.gateWord(word) != method.selectedGateWord(word)) {
        return true;
      }
    }
    return false;
  }

  @Override
  public byte[] reset() {
    return carryOut(
        reply -> {
          tracing.end();
          reply.situation();
        });
  }

  @Override
  public void connected(Object client) {
    carryOut(reply -> tracing.connected(client));
  }

  @Override
  public void disconnected(Object client) {
    carryOut(reply -> tracing.disconnected(client));
  }
}
