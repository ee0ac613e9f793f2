// SPDX-License-Identifier: Apache-2.0
package io.jprobe.control;

import java.util.LinkedHashMap;
import java.util.Map;

/** Commands that Py4J's own server executes or tries to execute, and the gateway rejects. */
final class ForeignCommands {
  static final String PROPERTY = "jprobe.bait";

  private static final String BAIT = "io.jprobe.control.Bait";
  private static final String END = "e";

  private ForeignCommands() {}

  /** Commands that leave a trace in {@link Bait} or {@link #PROPERTY} when executed. */
  static Map<String, String[]> tracing() {
    Map<String, String[]> commands = new LinkedHashMap<>();
    commands.put("construct", lines("i", BAIT, END));
    commands.put("call a static method", lines("c", "z:" + BAIT, "touch", END));
    commands.put("set a field", lines("f", "s", "t", "touched", "i1", END));
    commands.put(
        "set a property",
        lines("c", "z:java.lang.System", "setProperty", "s" + PROPERTY, "sx", END));
    return commands;
  }

  /** Commands that reveal something about the program when executed. */
  static Map<String, String[]> revealing() {
    Map<String, String[]> commands = new LinkedHashMap<>();
    commands.put("find a class", lines("r", "u", BAIT, "rj", END));
    commands.put("find a member", lines("r", "m", "java.lang.System", "exit", END));
    commands.put("get a class object", lines("r", "c", "java.lang.System", END));
    commands.put("construct a list", lines("i", "java.util.ArrayList", END));
    commands.put("construct with an argument", lines("i", "java.io.File", "s/etc/passwd", END));
    commands.put("get the runtime", lines("c", "z:java.lang.Runtime", "getRuntime", END));
    commands.put(
        "get a property", lines("c", "z:java.lang.System", "getProperty", "suser.dir", END));
    commands.put("getClass", lines("c", "t", "getClass", END));
    commands.put("hashCode", lines("c", "t", "hashCode", END));
    commands.put("toString", lines("c", "t", "toString", END));
    commands.put("equals", lines("c", "t", "equals", "n", END));
    commands.put("create a view", lines("j", "c", "mine", END));
    commands.put("import", lines("j", "i", "rj", "java.io.*", END));
    commands.put("help on an object", lines("h", "o", "t", "n", "bTrue", END));
    commands.put("help on a class", lines("h", "c", "java.lang.System", "n", "bTrue", END));
    commands.put("create an array", lines("a", "c", "sjava.lang.String", "i3", END));
    commands.put("list methods", lines("d", "m", "t", "n", END));
    commands.put("list fields", lines("d", "f", "t", "n", END));
    commands.put("list statics", lines("d", "s", "java.lang.System", "n", END));
    commands.put("list a view", lines("d", "v", "rj", "n", END));
    commands.put("garbage-collect", lines("m", "d", "o0", END));
    return commands;
  }

  /** All other commands. */
  static Map<String, String[]> others() {
    Map<String, String[]> commands = new LinkedHashMap<>();
    commands.put("exit", lines("c", "z:java.lang.System", "exit", "i3", END));
    commands.put("wait", lines("c", "t", "wait", "L1", END));
    commands.put("notify", lines("c", "t", "notify", END));
    commands.put("notifyAll", lines("c", "t", "notifyAll", END));
    commands.put("the gateway's connected()", lines("c", "t", "connected", "sx", END));
    commands.put("the gateway's disconnected()", lines("c", "t", "disconnected", "rt", END));
    commands.put("call an object", lines("c", "o0", "status", END));
    commands.put("call the view", lines("c", "j", "status", END));
    commands.put("call the server", lines("c", "GATEWAY_SERVER", "shutdown", END));
    commands.put("call nothing", lines("c", "", "status", END));
    commands.put(
        "call a static method of the entry point's name", lines("c", "z:t", "status", END));
    commands.put("no method", lines("c", "t", "", END));
    commands.put("a method with the name of an end", lines("c", "t", "e", END));
    commands.put("search a view", lines("j", "s", "rj", "java.lang.System", END));
    commands.put("take an import back", lines("j", "r", "rj", "java.io.*", END));
    commands.put("an unknown sub-command", lines("j", "?", "rj", END));
    commands.put("get a field", lines("f", "g", "t", "commands", END));
    commands.put("get a field with the name of an end", lines("f", "g", "t", "e", END));
    commands.put("set a static field", lines("f", "s", "z:" + BAIT, "touched", "i1", END));
    commands.put("get from an array", lines("a", "g", "o0", "i0", END));
    commands.put("set in an array", lines("a", "s", "o0", "i0", "i1", END));
    commands.put("slice an array", lines("a", "l", "o0", "i0", END));
    commands.put("length of an array", lines("a", "e", "o0", END));
    for (String one : new String[] {"s", "r", "x", "n", "l", "a", "m", "i", "f"}) {
      commands.put("list, " + one, lines("l", one, "o0", END));
    }
    commands.put("print an exception", lines("p", "ro0", END));
    commands.put("attach an object", lines("m", "a", "o0", END));
    commands.put("stream", lines("S", "t", "status", END));
    commands.put("stream a runtime", lines("S", "z:java.lang.Runtime", "getRuntime", END));
    commands.put("shut down", lines("s"));
    commands.put("cancel", lines("z", "127.0.0.1", "1", "2", END));
    commands.put("an unknown command", lines("u", BAIT, END));
    commands.put("a command of no letter", lines("", "t", "status", END));
    commands.put("a command of many letters", lines("call", "t", "status", END));
    commands.put("quit", lines("q", "t", END));
    commands.put("a reflected status", lines("r", "t", "status", END));
    commands.put("Status", lines("c", "t", "Status", END));
    commands.put("status and a blank", lines("c", "t", "status ", END));
    commands.put("status()", lines("c", "t", "status()", END));
    commands.put("a call with a missing argument", lines("c", "t", "select:s", "b", END));
    commands.put("status of a text", lines("c", "t", "status", "sx", END));
    commands.put("status of nothing", lines("c", "t", "status", "", END));
    commands.put("reset of null", lines("c", "t", "reset", "n", END));
    commands.put("select of nothing", lines("c", "t", "select", END));
    commands.put("select without lease", lines("c", "t", "select", "sx", END));
    commands.put("select of three", lines("c", "t", "select", "sx", "bTrue", "bTrue", END));
    commands.put("select the wrong way", lines("c", "t", "select", "bTrue", "sx", END));
    commands.put("select of a number", lines("c", "t", "select", "i3", "bTrue", END));
    commands.put("select leased by 1", lines("c", "t", "select", "sx", "i1", END));
    commands.put("select perhaps leased", lines("c", "t", "select", "sx", "bperhaps", END));
    commands.put("select leased by a reference", lines("c", "t", "select", "sx", "ro0", END));
    commands.put("select of null", lines("c", "t", "select", "n", "bTrue", END));
    commands.put("select of bytes", lines("c", "t", "select", "jeA==", "bTrue", END));
    commands.put("select of a decimal", lines("c", "t", "select", "D1.5", "bTrue", END));
    commands.put(
        "select of a callback", lines("c", "t", "select", "fp0;java.lang.Runnable", "bTrue", END));
    commands.put(
        "unselect of a callback", lines("c", "t", "unselect", "fp0;java.lang.CharSequence", END));
    commands.put("unselect of the entry point", lines("c", "t", "unselect", "rt", END));
    commands.put("unselect of an unknown type", lines("c", "t", "unselect", "?x", END));
    commands.put("set of a long", lines("c", "t", "set", "sx", "L5", END));
    commands.put("set of a double", lines("c", "t", "set", "d1.5", "sx", END));
    return commands;
  }

  private static String[] lines(String... lines) {
    return lines;
  }
}
