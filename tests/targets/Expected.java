// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Records the events that the calls of one thread must fire, in order, and counts the calls that
 * must be filtered. The traced programs report them to the tests. An event is a line such as
 *
 * <pre>Orders#place(JLjava/lang/String;)Z entry long=2a java.lang.String="abc"</pre>
 *
 * Numbers are shown as their 64 bits in hexadecimal (floats: the lower 32), objects as the text
 * that the agent passes. Strings are truncated to the limit and then end in {@code ...}.
 */
final class Expected {
  private final String prefix;
  private final int stringLimit;
  private final List<String> events = new ArrayList<>();
  private final Map<String, Integer> held = new TreeMap<>();

  /**
   * @param prefix common prefix of all classes, omitted in the arguments below, such as
   *     "com.acme.Shop$"
   * @param stringLimit the agent's string limit in bytes
   */
  Expected(String prefix, int stringLimit) {
    this.prefix = prefix;
    this.stringLimit = stringLimit;
  }

  /**
   * Expects an entry event with these arguments. The method is "Class#name(…)…", as in the class
   * file.
   */
  void entry(String method, Object... arguments) {
    List<String> types = types(method.substring(method.indexOf('(') + 1, method.indexOf(')')));
    int captured = Math.min(types.size(), 12);
    if (types.size() != arguments.length) {
      throw new IllegalArgumentException(method + " has " + types.size() + " arguments");
    }
    StringBuilder line = new StringBuilder(prefix + method + " entry");
    for (int i = 0; i < captured; i++) {
      line.append(' ').append(value(types.get(i), arguments[i]));
    }
    events.add(line.toString());
  }

  /** Expects a return event, with a value unless the method is void. */
  void returned(String method, Object... value) {
    List<String> type = types(method.substring(method.indexOf(')') + 1));
    if (type.size() != value.length) {
      throw new IllegalArgumentException(method + " returns " + type);
    }
    String returned = type.isEmpty() ? "" : " " + value(type.get(0), value[0]);
    events.add(prefix + method + " return" + returned);
  }

  void threw(String method, Class<? extends Throwable> exception) {
    events.add(prefix + method + " throw " + value("java.lang.String", exception.getName()));
  }

  /** Expects the entry and return of a call that makes no other traced call. Returns the result. */
  <T> T call(T result, String method, Object... arguments) {
    entry(method, arguments);
    returned(method, result);
    return result;
  }

  /** Expects the entry and return of a void method that makes no other traced call. */
  void run(String method, Object... arguments) {
    entry(method, arguments);
    returned(method);
  }

  /**
   * Expects an event with captured values.
   *
   * @param values name and type of each value, such as "id:long", followed by the value
   */
  void captured(String method, String kind, Object... values) {
    StringBuilder line = new StringBuilder(prefix + method + " " + kind);
    for (int i = 0; i < values.length; i += 2) {
      String[] name = ((String) values[i]).split(":");
      line.append(' ').append(name[0]).append(':').append(value(name[1], values[i + 1]));
    }
    events.add(line.toString());
  }

  /** Counts one filtered call for each of these kinds of probes. */
  void heldBack(String method, String... kinds) {
    for (String kind : kinds) {
      held.merge(prefix + method + " " + kind, 1, Integer::sum);
    }
  }

  List<String> events() {
    return events;
  }

  Map<String, Integer> held() {
    return held;
  }

  /** Returns the types in a descriptor, as written in Java source. Empty for void. */
  private static List<String> types(String descriptor) {
    List<String> types = new ArrayList<>();
    int at = 0;
    while (at < descriptor.length()) {
      int dimensions = 0;
      for (; descriptor.charAt(at) == '['; at++) {
        dimensions++;
      }
      int end = descriptor.charAt(at) == 'L' ? descriptor.indexOf(';', at) : at;
      if (descriptor.charAt(at) != 'V') {
        types.add(source(descriptor.substring(at, end + 1)) + "[]".repeat(dimensions));
      }
      at = end + 1;
    }
    return types;
  }

  private static String source(String type) {
    switch (type.charAt(0)) {
      case 'Z':
        return "boolean";
      case 'B':
        return "byte";
      case 'C':
        return "char";
      case 'S':
        return "short";
      case 'I':
        return "int";
      case 'J':
        return "long";
      case 'F':
        return "float";
      case 'D':
        return "double";
      default:
        return type.substring(1, type.length() - 1).replace('/', '.');
    }
  }

  private String value(String type, Object value) {
    if (type.equals("java.lang.String")) {
      return type + "=" + text((String) value);
    }
    boolean isPrimitive = type.indexOf('.') < 0 && Character.isLowerCase(type.charAt(0));
    return type
        + "="
        + (isPrimitive && !type.endsWith("]") ? word(type, value) : text(rendered(value)));
  }

  /** Returns the text of an object, for the classes that the traced programs pass. */
  private static String rendered(Object value) {
    if (value == null) {
      return null;
    }
    if (value instanceof String) {
      return '"' + (String) value + '"';
    }
    boolean isOfJdk = value.getClass().getName().startsWith("java.");
    if (isOfJdk && (value instanceof Number || value instanceof Boolean)) {
      return value.toString();
    }
    if (value instanceof Enum) {
      return ((Enum<?>) value).name();
    }
    if (value instanceof Character) {
      return "'" + value + "'";
    }
    if (value instanceof Throwable) {
      String message = ((Throwable) value).getMessage();
      return value.getClass().getName() + (message == null ? "" : ": " + message);
    }
    if (value instanceof Class) {
      return ((Class<?>) value).getName();
    }
    if (value instanceof int[]) {
      return Arrays.toString((int[]) value);
    }
    if (value instanceof Object[]) {
      return elements(Arrays.asList((Object[]) value));
    }
    if (isOfJdk && value instanceof List) {
      return elements((List<?>) value);
    }
    return identity(value);
  }

  private static String identity(Object value) {
    return value.getClass().getName() + "@" + Integer.toHexString(System.identityHashCode(value));
  }

  private static String elements(List<?> list) {
    List<String> texts = new ArrayList<>();
    for (Object each : list) {
      boolean isOuter = each instanceof Object[] || each instanceof int[] || each instanceof List;
      texts.add(isOuter ? identity(each) : String.valueOf(rendered(each)));
    }
    return "[" + String.join(", ", texts) + "]";
  }

  private static String word(String type, Object value) {
    switch (type) {
      case "boolean":
        return (Boolean) value ? "1" : "0";
      case "char":
        return Integer.toHexString((Character) value);
      case "float":
        return Integer.toHexString(Float.floatToRawIntBits((Float) value));
      case "double":
        return Long.toHexString(Double.doubleToRawLongBits((Double) value));
      case "byte":
      case "short":
      case "int":
      case "long":
        return Long.toHexString(((Number) value).longValue());
      default:
        throw new IllegalArgumentException(type);
    }
  }

  /**
   * Returns the text that an event must have: whole UTF-8 characters up to the limit, where U+0000
   * has two bytes.
   */
  private String text(String string) {
    if (string == null) {
      return "null";
    }
    StringBuilder text = new StringBuilder("\"");
    int bytes = 0;
    for (Iterator<Integer> left = string.codePoints().iterator(); left.hasNext(); ) {
      int character = left.next();
      if (character >= 0xd800 && character < 0xe000) {
        character = 0xfffd;
      }
      bytes += bytesOf(character);
      if (bytes > stringLimit) {
        return text.append("\"...").toString();
      }
      for (char unit : Character.toChars(character)) {
        boolean plain = unit >= ' ' && unit <= '~' && unit != '\\';
        text.append(plain ? String.valueOf(unit) : String.format("\\u%04x", (int) unit));
      }
    }
    return text.append('"').toString();
  }

  private static int bytesOf(int character) {
    return character == 0
        ? 2
        : new String(Character.toChars(character)).getBytes(StandardCharsets.UTF_8).length;
  }

  /** Returns a JSON array of strings. */
  static String json(List<String> lines) {
    StringBuilder json = new StringBuilder("[");
    for (String line : lines) {
      json.append(json.length() > 1 ? "," : "").append(json(line));
    }
    return json.append(']').toString();
  }

  static String json(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  /** Returns a JSON object of numbers. */
  static String json(Map<String, Integer> numbers) {
    StringBuilder json = new StringBuilder("{");
    numbers.forEach(
        (name, number) -> {
          json.append(json.length() > 1 ? "," : "").append(json(name)).append(':').append(number);
        });
    return json.append('}').toString();
  }
}
