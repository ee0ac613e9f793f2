// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.select.Selector;

/** A selector in force, and the connection that leases it. */
final class ActiveSelector {
  final Selector selector;

  /** The connection, by identity; null if the selector is not leased. */
  final Object client;

  ActiveSelector(Selector selector, Object client) {
    this.selector = selector;
    this.client = client;
  }
}
