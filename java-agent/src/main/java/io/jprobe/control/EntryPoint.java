// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.util.List;
import py4j.Protocol;

/**
 * The one object that the gateway serves: from the lines of a Py4J command to {@link Commands}, by
 * a switch and never by reflection. No other command, object, method, number or type of arguments
 * gets further than here.
 */
final class EntryPoint {
  private static final String CALL = "c";
  private static final String REFUSED =
      "refused: this gateway serves five calls of its entry point and nothing else:"
          + " select(String, boolean), unselect(String), set(String, String), status(), reset()";

  /** The command, the object and the method come before the arguments. */
  private static final int FIRST_ARGUMENT = 3;

  private final Commands commands;

  EntryPoint(Commands commands) {
    this.commands = commands;
  }

  /**
   * Does what the command says.
   *
   * @return a serialized jprobe.v1.ControlReply
   */
  byte[] perform(Object client, List<String> command) throws Refusal {
    if (command.size() < FIRST_ARGUMENT
        || !command.get(0).equals(CALL)
        || !command.get(1).equals(Protocol.ENTRY_POINT_OBJECT_ID)) {
      throw new Refusal(REFUSED);
    }
    List<String> arguments = command.subList(FIRST_ARGUMENT, command.size());
    switch (command.get(2) + ":" + types(arguments)) {
      case "select:sb":
        return commands.select(client, text(arguments.get(0)), truth(arguments.get(1)));
      case "unselect:s":
        return commands.unselect(text(arguments.get(0)));
      case "set:ss":
        return commands.set(text(arguments.get(0)), text(arguments.get(1)));
      case "status:":
        return commands.status();
      case "reset:":
        return commands.reset();
      default:
        throw new Refusal(REFUSED);
    }
  }

  /** Py4J's letter of each argument's type. */
  private static String types(List<String> arguments) {
    StringBuilder types = new StringBuilder();
    for (String argument : arguments) {
      types.append(argument.isEmpty() ? '?' : argument.charAt(0));
    }
    return types.toString();
  }

  private static String text(String argument) {
    return Protocol.getString(argument);
  }

  private static boolean truth(String argument) throws Refusal {
    // Py4J itself takes everything else for false.
    if (!argument.equalsIgnoreCase("btrue") && !argument.equalsIgnoreCase("bfalse")) {
      throw new Refusal(REFUSED);
    }
    return Protocol.getBoolean(argument);
  }
}
