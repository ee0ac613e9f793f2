// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

/**
 * The commands of the gateway's entry point. Each returns a serialized jprobe.v1.ControlReply
 * (proto/jprobe/v1/control.proto), which also reports errors; none throws.
 */
public interface Commands {
  /**
   * Gives probes to the methods that the selectors match.
   *
   * @param client the connection, by identity
   * @param leased whether the selectors are unselected when the connection ends
   */
  byte[] select(Object client, String selectors, boolean leased);

  /** Unselects these selectors, each written as it was selected; all if none is given. */
  byte[] unselect(String selectors);

  /** Changes the gates of methods, such as "1:0 1:5" to "duration > 20ms every 100". */
  byte[] set(String methods, String settings);

  /**
   * The client has attached to all probes that it wants of the libraries before this one. Arms
   * them, and lets the program go on where it waits for that. Answers when the program waits for a
   * later library, or after a second.
   *
   * @param next the number of the first library that the client has not seen
   */
  byte[] attached(Object client, int next);

  /**
   * Changes limits, such as "max-methods=8000,string-limit=512".
   *
   * @param scope "agent" to replace the agent's own, "selection" to raise them, "client" to raise
   *     them while the client is connected
   */
  byte[] limits(Object client, String settings, String scope);

  /**
   * Leases probes for events and counts through shared memory, in place of what the client has
   * leased before, until it disconnects.
   *
   * @param events probes whose calls are written to ring buffers: "generation:first-last,…"
   * @param counts probes whose calls are counted in histograms of their durations
   */
  byte[] direct(Object client, String events, String counts);

  /**
   * Requests a limit on the cost of all probes until the client disconnects, in place of its
   * earlier request. The lowest of all requests holds.
   *
   * @param percent the limit in percent of one core; 0 for no limit, -1 for no request
   */
  byte[] overhead(Object client, int percent);

  byte[] status();

  /** Lists the loaded classes and methods that a pattern matches, at most so many. */
  byte[] find(String pattern, int most);

  /** Explains why selectors in force trace nothing. */
  byte[] explain(String selectors);

  /** Restores all classes and shuts down the agent, which closes the gateway before it answers. */
  byte[] reset();

  /** Called when a connection was authenticated. */
  void connected(Object client);

  /** Called when that connection has ended. */
  void disconnected(Object client);
}
