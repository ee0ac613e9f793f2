// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.Catalog;
import io.jprobe.stub.FireBinding;
import java.util.HashMap;
import java.util.Map;

/**
 * The limits in force: max-methods and string-limit. The agent has its own, which its options or a
 * client has set, and a client may ask for larger ones while it is connected. The largest holds, so
 * nobody gets fewer methods or shorter strings than they asked for. For the watcher thread only.
 */
final class AskedLimits {
  private final Catalog catalog;
  private LimitSettings own;
  private final Map<Object, LimitSettings> asked = new HashMap<>();

  AskedLimits(Catalog catalog, Options options) {
    this.catalog = catalog;
    this.own = new LimitSettings(options.maxMethods, options.stringLimit);
  }

  /** Replaces the agent's own limits, as far as they are given. */
  void set(LimitSettings given) {
    own =
        new LimitSettings(
            given.maxMethods == 0 ? own.maxMethods : given.maxMethods,
            given.stringLimit == 0 ? own.stringLimit : given.stringLimit);
    apply();
  }

  /** Raises the agent's own limits to these. */
  void raise(LimitSettings given) {
    own = larger(own, given);
    apply();
  }

  /** Raises the limits for as long as the client is connected. */
  void raise(Object client, LimitSettings given) {
    asked.put(client, given);
    apply();
  }

  void disconnected(Object client) {
    if (asked.remove(client) != null) {
      apply();
    }
  }

  /** Returns the agent's own limits. */
  LimitSettings own() {
    return own;
  }

  /** Returns the limits in force. */
  LimitSettings inForce() {
    LimitSettings largest = own;
    for (LimitSettings each : asked.values()) {
      largest = larger(largest, each);
    }
    // Methods that have probes keep them.
    return new LimitSettings(
        Math.max(largest.maxMethods, catalog.methodCount()), largest.stringLimit);
  }

  private void apply() {
    LimitSettings inForce = inForce();
    catalog.limitMethods(inForce.maxMethods);
    FireBinding.limitText(inForce.stringLimit);
  }

  private static LimitSettings larger(LimitSettings one, LimitSettings other) {
    return new LimitSettings(
        Math.max(one.maxMethods, other.maxMethods), Math.max(one.stringLimit, other.stringLimit));
  }
}
