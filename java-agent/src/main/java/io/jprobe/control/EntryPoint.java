// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.util.List;
import py4j.Protocol;

/**
 * The only object that the gateway serves. Maps the lines of a Py4J command to {@link Commands} by
 * a switch, never by reflection, and rejects every other command, object, method and argument list.
 */
final class EntryPoint {
  private static final String CALL = "c";
  private static final String REJECTED =
      "rejected: this gateway serves eleven calls of its entry point and nothing else:"
          + " select(String, boolean), unselect(String), set(String, String), attached(int),"
          + " limits(String, String), direct(String, String), overhead(int), status(),"
          + " find(String, int), explain(String), reset()";

  /** Index of the first argument, after the command, the object and the method. */
  private static final int FIRST_ARGUMENT = 3;

  private final Commands commands;

  EntryPoint(Commands commands) {
    this.commands = commands;
  }

  /**
   * Executes a command.
   *
   * @return a serialized jprobe.v1.ControlReply
   */
  byte[] execute(Object client, List<String> command) throws CommandRejectedException {
    if (command.size() < FIRST_ARGUMENT
        || !command.get(0).equals(CALL)
        || !command.get(1).equals(Protocol.ENTRY_POINT_OBJECT_ID)) {
      throw new CommandRejectedException(REJECTED);
    }
    List<String> arguments = command.subList(FIRST_ARGUMENT, command.size());
    switch (command.get(2) + ":" + types(arguments)) {
      case "select:sb":
        return commands.select(client, text(arguments.get(0)), bool(arguments.get(1)));
      case "unselect:s":
        return commands.unselect(text(arguments.get(0)));
      case "set:ss":
        return commands.set(text(arguments.get(0)), text(arguments.get(1)));
      case "attached:i":
        return commands.attached(client, integer(arguments.get(0)));
      case "limits:ss":
        return commands.limits(client, text(arguments.get(0)), text(arguments.get(1)));
      case "direct:ss":
        return commands.direct(client, text(arguments.get(0)), text(arguments.get(1)));
      case "overhead:i":
        return commands.overhead(client, integer(arguments.get(0)));
      case "status:":
        return commands.status();
      case "find:si":
        return commands.find(text(arguments.get(0)), integer(arguments.get(1)));
      case "explain:s":
        return commands.explain(text(arguments.get(0)));
      case "reset:":
        return commands.reset();
      default:
        throw new CommandRejectedException(REJECTED);
    }
  }

  /** Returns Py4J's type letters of the arguments. */
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

  private static int integer(String argument) throws CommandRejectedException {
    try {
      return Protocol.getInteger(argument);
    } catch (NumberFormatException e) {
      throw new CommandRejectedException(REJECTED);
    }
  }

  private static boolean bool(String argument) throws CommandRejectedException {
    // Py4J itself treats everything else as false.
    if (!argument.equalsIgnoreCase("btrue") && !argument.equalsIgnoreCase("bfalse")) {
      throw new CommandRejectedException(REJECTED);
    }
    return Protocol.getBoolean(argument);
  }
}
