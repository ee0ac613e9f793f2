// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.select.Selectors;
import java.util.IdentityHashMap;
import java.util.Map;

/** The connected clients, and their numbers as owners of selectors. For the watcher thread only. */
final class Clients {
  private final Map<Object, Integer> numbers = new IdentityHashMap<>();
  private int last = Selectors.UNLEASED;
  private boolean hadSome;

  /** Adds a client. Its number is higher than those of all clients before it. */
  void add(Object client) {
    numbers.put(client, ++last);
    hadSome = true;
  }

  void remove(Object client) {
    numbers.remove(client);
  }

  /** Returns the number of the client as an owner; null stands for no client. */
  int number(Object client) {
    return client == null ? Selectors.UNLEASED : numbers.get(client);
  }

  boolean isEmpty() {
    return numbers.isEmpty();
  }

  /** Returns true if a client has ever connected. */
  boolean hadSome() {
    return hadSome;
  }
}
