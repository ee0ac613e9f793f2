// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.select.Selector;

/** A selector in force, its owner, and the connection that leases it. */
final class ActiveSelector {
  final Selector selector;

  /** The connection, by identity; null if the selector is not leased. */
  final Object client;

  /** The number of the owner; see {@link io.jprobe.select.Selectors#UNLEASED}. */
  final int owner;

  ActiveSelector(Selector selector, Object client, int owner) {
    this.selector = selector;
    this.client = client;
    this.owner = owner;
  }
}
