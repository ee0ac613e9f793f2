// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.util.List;

/**
 * A probe as its USDT note describes it: names of letters, digits and "_", at most 12 arguments.
 */
public final class ProbeDefinition {
  public static final int MAX_ARGUMENTS = Shape.MAX_VALUES;

  public final String provider;
  public final String name;
  public final List<ArgumentSize> arguments;

  public ProbeDefinition(String provider, String name, List<ArgumentSize> arguments) {
    if (arguments.size() > MAX_ARGUMENTS) {
      throw new IllegalArgumentException(
          provider
              + ":"
              + name
              + " has "
              + arguments.size()
              + " arguments; at most "
              + MAX_ARGUMENTS
              + " can be traced");
    }
    this.provider = provider;
    this.name = name;
    this.arguments = List.copyOf(arguments);
  }
}
