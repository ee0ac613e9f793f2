// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Gate;
import io.jprobe.catalog.Manifest;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;
import io.jprobe.catalog.Untraceable;
import io.jprobe.find.Found;
import io.jprobe.select.Match;
import io.jprobe.select.Selector;
import io.jprobe.stub.ProtoWriter;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Writes a jprobe.v1.ControlReply; field numbers are those of proto/jprobe/v1/control.proto. */
final class ControlReply {
  private final long start = System.nanoTime();
  private final Tracing tracing;
  private final ProtoWriter reply = new ProtoWriter();

  ControlReply(Tracing tracing) {
    this.tracing = tracing;
  }

  /** Returns a reply with an error and nothing else. */
  byte[] error(String sentence) {
    return new ProtoWriter()
        .text(1, sentence)
        .number(2, System.nanoTime() - start)
        .text(3, tracing.version)
        .toByteArray();
  }

  void methods(List<Map.Entry<TracedClass, TracedMethod>> methods) {
    for (Map.Entry<TracedClass, TracedMethod> each : methods) {
      reply.message(
          5, Manifest.describe(each.getKey(), each.getValue()).text(8, each.getValue().id()));
    }
  }

  void given(List<Selector> given) {
    given.forEach(selector -> reply.text(13, selector.toString()));
  }

  void owner(int number) {
    reply.number(14, number);
  }

  void added(int methods) {
    reply.number(6, methods);
  }

  void failed(List<Untraceable> failed) {
    failed.forEach(one -> reply.message(7, Manifest.describe(one)));
  }

  void gate(TracedMethod method) {
    reply.message(
        10,
        new ProtoWriter()
            .number(1, method.gateWord(Gate.LEAST_DURATION))
            .number(2, method.gateWord(Gate.EVERY))
            .number(3, method.gateWord(Gate.LIMIT)));
  }

  void found(Found one, int loaderId, Collection<String> selectors) {
    ProtoWriter found =
        new ProtoWriter()
            .text(1, one.className)
            .number(2, loaderId)
            .textIfAny(3, one.method)
            .textIfAny(4, one.descriptor)
            .textIfAny(5, one.kind)
            .textIfAny(6, one.reason);
    one.arguments.forEach(name -> found.text(7, name));
    selectors.forEach(selector -> found.text(8, selector));
    reply.message(16, found);
  }

  void searched(int matchingClasses, boolean hasMore) {
    reply.number(17, hasMore ? 1 : 0).number(19, matchingClasses);
  }

  void nothingFound(String reason) {
    reply.text(18, reason);
  }

  /** Adds one selector in force. */
  void selection(String selector, int methods, String problem) {
    reply.message(4, new ProtoWriter().text(1, selector).number(2, methods).textIfAny(5, problem));
  }

  void state() {
    state(Map.of());
  }

  /**
   * Adds the selectors in force, and the numbers of traced methods and probes.
   *
   * @param problems why selectors trace nothing
   */
  void state(Map<Selector, String> problems) {
    int methods = 0;
    int probes = 0;
    Map<Selector, Integer> decided = new HashMap<>();
    Map<Selector, Integer> overruled = new HashMap<>();
    for (TracedClass traced : tracing.catalog.classes()) {
      TracedMethod last = null;
      for (TracedMethod method : traced.methods()) {
        // The sets of probes of one method follow each other.
        methods += last != null && last.isSameMethod(method) ? 0 : 1;
        last = method;
        probes += method.kinds().size();
        for (Match match : method.selectedBy()) {
          decided.merge(match.deciding(), 1, Integer::sum);
          match.overruled().forEach(selector -> overruled.merge(selector, 1, Integer::sum));
        }
      }
    }
    for (ActiveSelector one : tracing.selected()) {
      reply.message(
          4,
          new ProtoWriter()
              .text(1, one.selector.toString())
              .number(2, decided.getOrDefault(one.selector, 0))
              .number(3, one.client == null ? 0 : 1)
              .number(4, overruled.getOrDefault(one.selector, 0))
              .textIfAny(5, problems.getOrDefault(one.selector, "")));
    }
    LimitSettings inForce = tracing.limits.inForce();
    LimitSettings own = tracing.limits.own();
    reply.message(
        15,
        new ProtoWriter()
            .number(1, inForce.maxMethods)
            .number(2, inForce.stringLimit)
            .number(3, own.maxMethods)
            .number(4, own.stringLimit));
    reply.number(8, methods).number(9, probes);
    reply.number(11, tracing.isLoadedLater ? 1 : 0).textIfAny(12, tracing.catalog.refusal());
  }

  byte[] toByteArray() {
    reply.number(2, System.nanoTime() - start).text(3, tracing.version);
    return reply.toByteArray();
  }
}
