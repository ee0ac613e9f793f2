// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

/**
 * What the gateway's entry point offers. Each command returns a serialized jprobe.v1.ControlReply
 * (proto/jprobe/v1/control.proto), in which errors are told too; none throws.
 */
public interface Commands {
  /**
   * Gives probes to what the selectors mean.
   *
   * @param client the connection, by identity
   * @param leased whether they are unselected when that connection ends
   */
  byte[] select(Object client, String selectors, boolean leased);

  /** Takes back selectors, each as it was selected; all of them, if none is named. */
  byte[] unselect(String selectors);

  /** Changes what the gates of methods let pass: "1:0 1:5", "duration > 20ms every 100". */
  byte[] set(String methods, String settings);

  byte[] status();

  /** Restores everything and ends the agent; the gateway is closed meanwhile. */
  byte[] reset();

  /** A connection has been authenticated. */
  void connected(Object client);

  /** That connection has ended. */
  void disconnected(Object client);
}
