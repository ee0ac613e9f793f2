// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import java.time.LocalDateTime;
import java.time.ZoneOffset;
import jdk.internal.misc.Unsafe;

/**
 * Renders an object as text in the memory from which the thread's next event takes its strings.
 *
 * <p>The application's code never runs: what an object shows is decided by its exact class ({@link
 * JdkTypes}), and its fields are read by their offsets, without methods and locks. Other objects
 * show their class and identity hash. Some values of the JDK have a {@code toString} that is too
 * long to repeat here; while it runs, the thread's own calls do not fire.
 *
 * <p>The text is for people and for jcollect (view/rendered.py), which makes values of it again. It
 * ends at the agent's string limit.
 */
final class Rendering {
  private static final Unsafe UNSAFE = ObjectFields.UNSAFE;

  /** Ints of the magnitude of numbers that are rendered: about 300 digits. */
  private static final int MAX_MAGNITUDE = 32;

  private static final long LAST_SECOND = LocalDateTime.MAX.toEpochSecond(ZoneOffset.UTC);
  private static final long FIRST_SECOND = LocalDateTime.MIN.toEpochSecond(ZoneOffset.UTC);
  private static final long SECONDS_OF_400_YEARS = 146_097L * 86_400;

  private static int limit = Fire.textLimit();

  private Rendering() {}

  /** Loads what rendering needs, so that this does not happen in the application's threads. */
  static void prepare() {
    limit = Fire.textLimit();
    RenderedElements.prepare();
  }

  /**
   * Returns the address of the object's text, odd if it was truncated; 0 for null.
   *
   * @param slot the text's index among those of the event
   */
  static long text(Object object, int slot) {
    if (object == null) {
      return 0;
    }
    long start = Fire.buffer(slot);
    if (start == 0) {
      return 0;
    }
    long end = start + limit;
    long at = outermost(start, end, object);
    long last = at < 0 ? -at : at;
    UNSAFE.putByte(last, (byte) 0);
    if (at > 0) {
      return start;
    }
    Utf8.moveUp(start, last + 1);
    return start + 1;
  }

  private static long outermost(long at, long end, Object object) {
    try {
      Class<?> type = object.getClass();
      int index = JdkTypes.index(type);
      int kind = JdkTypes.kind(index);
      boolean isSimple = kind == JdkTypes.OTHER ? isSimple(object, type) : kind <= JdkTypes.CLASS;
      return isSimple
          ? simple(at, end, object, index, kind, true)
          : evaluated(at, end, object, index, kind);
    } catch (Throwable e) {
      // Out of memory or stack, or a collection that another thread has just changed.
    }
    try {
      return identity(at, end, object);
    } catch (Throwable e) {
      return at;
    }
  }

  /** Returns true unless an object of a class that is not in the table needs more than its name. */
  private static boolean isSimple(Object object, Class<?> type) {
    return !type.isArray() && !(object instanceof Throwable) && !(object instanceof Thread);
  }

  /**
   * Writes an object by code that may call methods of the JDK which are traced: until it has
   * finished, the thread's calls do not fire.
   */
  private static long evaluated(long at, long end, Object object, int index, int kind) {
    int slot = PathEvaluation.beginEvaluation();
    if (slot == 0) {
      return identity(at, end, object);
    }
    try {
      return compound(at, end, object, index, kind, true);
    } finally {
      PathEvaluation.EVALUATING[slot] = 0;
    }
  }

  /** Writes an element of another object, whose own elements are not written. */
  static long element(long at, long end, Object object) {
    if (object == null) {
      return Utf8.text(at, end, "null");
    }
    Class<?> type = object.getClass();
    int index = JdkTypes.index(type);
    int kind = JdkTypes.kind(index);
    boolean isSimple = kind == JdkTypes.OTHER ? isSimple(object, type) : kind <= JdkTypes.CLASS;
    return isSimple
        ? simple(at, end, object, index, kind, false)
        : compound(at, end, object, index, kind, false);
  }

  /** Writes an object without calling anything that could be traced. */
  private static long simple(
      long at, long end, Object object, int index, int kind, boolean isOutermost) {
    switch (kind) {
      case JdkTypes.STRING:
        return quoted(at, end, (String) object, isOutermost);
      case JdkTypes.INT:
      case JdkTypes.LONG:
      case JdkTypes.SHORT:
      case JdkTypes.BYTE:
        return Utf8.decimal(at, end, Elements.number(object));
      case JdkTypes.BOOLEAN:
        return truth(at, end, UNSAFE.getBoolean(object, JdkTypes.field(index, 0)));
      case JdkTypes.CHAR:
        return character(at, end, UNSAFE.getChar(object, JdkTypes.field(index, 0)));
      case JdkTypes.CLASS:
        return Utf8.text(at, end, ((Class<?>) object).getName());
      default:
        return object instanceof Enum
            ? Utf8.text(at, end, (String) UNSAFE.getReference(object, JdkTypes.ENUM_NAME))
            : identity(at, end, object);
    }
  }

  private static long compound(
      long at, long end, Object object, int index, int kind, boolean isOutermost) {
    if (kind == JdkTypes.OTHER) {
      return other(at, end, object, isOutermost);
    }
    if (kind >= JdkTypes.HOLDER) {
      return isOutermost ? holder(at, end, object, index, kind) : identity(at, end, object);
    }
    return special(at, end, object, index, kind, isOutermost);
  }

  private static long special(
      long at, long end, Object object, int index, int kind, boolean isOutermost) {
    switch (kind) {
      case JdkTypes.BUILDER:
        return builder(at, end, object, index, isOutermost);
      case JdkTypes.FLOAT:
        return Utf8.text(
            at, end, Float.toString(UNSAFE.getFloat(object, JdkTypes.field(index, 0))));
      case JdkTypes.DOUBLE:
        return Utf8.text(
            at, end, Double.toString(UNSAFE.getDouble(object, JdkTypes.field(index, 0))));
      case JdkTypes.UUID:
        return uuid(at, end, object, index);
      case JdkTypes.DATE:
        long millis = UNSAFE.getLong(object, JdkTypes.field(index, 0));
        int nanos = (int) Math.floorMod(millis, 1000L) * 1_000_000;
        return instant(at, end, Math.floorDiv(millis, 1000L), nanos);
      case JdkTypes.INSTANT:
        return instant(
            at,
            end,
            UNSAFE.getLong(object, JdkTypes.field(index, 0)),
            UNSAFE.getInt(object, JdkTypes.field(index, 1)));
      case JdkTypes.TEXT_FIELD:
        Object text = field(object, index, 0);
        return text == null ? toText(at, end, object) : Utf8.text(at, end, (String) text);
      case JdkTypes.PATH:
        return path(at, end, (byte[]) field(object, index, 0));
      case JdkTypes.URL:
        return url(at, end, object, index);
      case JdkTypes.BIG_INTEGER:
        return bigInteger(at, end, object, object);
      case JdkTypes.BIG_DECIMAL:
        return bigInteger(at, end, object, field(object, index, 0));
      case JdkTypes.OPTIONAL_INT:
      case JdkTypes.OPTIONAL_LONG:
      case JdkTypes.OPTIONAL_DOUBLE:
        return optional(at, end, object, index, kind);
      case JdkTypes.ATOMIC_BOOLEAN:
        return truth(at, end, UNSAFE.getInt(object, JdkTypes.field(index, 0)) != 0);
      default:
        return toText(at, end, object);
    }
  }

  /** Writes an object that holds others. */
  private static long holder(long at, long end, Object object, int index, int kind) {
    if (kind != JdkTypes.HOLDER) {
      return RenderedElements.of(at, end, object, index, kind);
    }
    Object held = field(object, index, 0);
    return held == null && object instanceof java.util.Optional
        ? Utf8.text(at, end, "Optional.empty")
        : close(element(open(at, end, object), end, held), end);
  }

  /** Writes an array, an exception or a thread. */
  private static long other(long at, long end, Object object, boolean isOutermost) {
    if (object instanceof Throwable) {
      long named = Utf8.text(at, end, object.getClass().getName());
      String message = (String) UNSAFE.getReference(object, JdkTypes.MESSAGE);
      return message == null ? named : Utf8.text(Utf8.put(named, end, ':', ' '), end, message);
    }
    if (object instanceof Thread) {
      long open = Utf8.text(at, end, "Thread[#");
      long id = Utf8.decimal(open, end, UNSAFE.getLong(object, JdkTypes.THREAD_ID));
      String name = (String) UNSAFE.getReference(object, JdkTypes.THREAD_NAME);
      return close(Utf8.text(Utf8.put(id, end, ','), end, name == null ? "" : name), end);
    }
    return isOutermost ? RenderedElements.ofArray(at, end, object) : identity(at, end, object);
  }

  /** Writes class and identity hash, as Object.toString does. */
  static long identity(long at, long end, Object object) {
    long named = Utf8.text(at, end, object.getClass().getName());
    return Utf8.hex(Utf8.put(named, end, '@'), end, System.identityHashCode(object), 0);
  }

  static Object field(Object object, int index, int field) {
    return UNSAFE.getReference(object, JdkTypes.field(index, field));
  }

  static long truth(long at, long end, boolean value) {
    return Utf8.text(at, end, value ? "true" : "false");
  }

  static long character(long at, long end, char value) {
    return Utf8.put(Utf8.unit(Utf8.put(at, end, '\''), end, value, (char) 0), end, '\'');
  }

  /** Writes a string in quotes. Those of elements have escapes, which tell them from each other. */
  private static long quoted(long at, long end, String text, boolean isOutermost) {
    return Utf8.put(Utf8.text(Utf8.put(at, end, '"'), end, text, !isOutermost), end, '"');
  }

  /** Writes a StringBuilder, which other threads may change meanwhile. */
  private static long builder(long at, long end, Object object, int index, boolean isOutermost) {
    if (!isOutermost) {
      return identity(at, end, object);
    }
    byte[] units = (byte[]) field(object, index, 0);
    boolean isWide = UNSAFE.getByte(object, JdkTypes.field(index, 1)) != 0;
    int count = UNSAFE.getInt(object, JdkTypes.field(index, 2));
    int length = Math.min(count, isWide ? units.length / 2 : units.length);
    long next = Utf8.text(Utf8.put(at, end, '"'), end, units, isWide, length, false);
    return Utf8.put(next, end, '"');
  }

  private static long uuid(long at, long end, Object object, int index) {
    long most = UNSAFE.getLong(object, JdkTypes.field(index, 0));
    long least = UNSAFE.getLong(object, JdkTypes.field(index, 1));
    long next = Utf8.put(Utf8.hex(at, end, most >>> 32, 8), end, '-');
    next = Utf8.put(Utf8.hex(next, end, most >>> 16, 4), end, '-');
    next = Utf8.put(Utf8.hex(next, end, most, 4), end, '-');
    next = Utf8.put(Utf8.hex(next, end, least >>> 48, 4), end, '-');
    return Utf8.hex(next, end, least, 12);
  }

  /** Writes an instant as Instant.toString does, without its formatter. */
  private static long instant(long at, long end, long seconds, int nanos) {
    boolean isLast = seconds > LAST_SECOND;
    boolean isFirst = seconds < FIRST_SECOND;
    // The first and last years of an Instant are not those of a LocalDateTime. Their days are those
    // of the year 400 years away.
    long shift = isLast ? -SECONDS_OF_400_YEARS : isFirst ? SECONDS_OF_400_YEARS : 0;
    String time = LocalDateTime.ofEpochSecond(seconds + shift, nanos, ZoneOffset.UTC).toString();
    long next =
        shift == 0
            ? Utf8.text(at, end, time)
            : Utf8.text(
                Utf8.text(at, end, isLast ? "+1000000000" : "-1000000000"),
                end,
                time.substring("+999999600".length()));
    // A LocalDateTime leaves out seconds that are zero.
    boolean hasSeconds = nanos != 0 || seconds % 60 != 0;
    return Utf8.put(hasSeconds ? next : Utf8.text(next, end, ":00"), end, 'Z');
  }

  private static long bigInteger(long at, long end, Object object, Object integer) {
    if (integer != null) {
      int index = JdkTypes.index(integer.getClass());
      if (JdkTypes.kind(index) != JdkTypes.BIG_INTEGER
          || ((int[]) field(integer, index, 0)).length > MAX_MAGNITUDE) {
        return identity(at, end, object);
      }
    }
    return toText(at, end, object);
  }

  /** Writes what toString returns, for classes of the JDK that call no others. */
  private static long toText(long at, long end, Object object) {
    return Utf8.text(at, end, object.toString());
  }

  /** Writes the bytes of a path, which are in the file system's own encoding. */
  private static long path(long at, long end, byte[] bytes) {
    long next = at;
    for (int i = 0; i < bytes.length && next > 0; i++) {
      next = Utf8.put(next, end, bytes[i]);
    }
    return next;
  }

  /** Writes a URL without its handler, which may be the application's. */
  private static long url(long at, long end, Object url, int index) {
    String authority = (String) field(url, index, 1);
    String file = (String) field(url, index, 2);
    String reference = (String) field(url, index, 3);
    long next = Utf8.text(at, end, (String) field(url, index, 0));
    next = Utf8.put(next, end, ':');
    if (authority != null && !authority.isEmpty()) {
      next = Utf8.text(Utf8.put(next, end, '/', '/'), end, authority);
    }
    next = Utf8.text(next, end, file == null ? "" : file);
    return reference == null ? next : Utf8.text(Utf8.put(next, end, '#'), end, reference);
  }

  private static long optional(long at, long end, Object object, int index, int kind) {
    if (!UNSAFE.getBoolean(object, JdkTypes.field(index, 0))) {
      return Utf8.text(simpleName(at, end, object), end, ".empty");
    }
    long value = JdkTypes.field(index, 1);
    long open = open(at, end, object);
    if (kind == JdkTypes.OPTIONAL_DOUBLE) {
      return close(Utf8.text(open, end, Double.toString(UNSAFE.getDouble(object, value))), end);
    }
    boolean isInt = kind == JdkTypes.OPTIONAL_INT;
    long number = isInt ? UNSAFE.getInt(object, value) : UNSAFE.getLong(object, value);
    return close(Utf8.decimal(open, end, number), end);
  }

  private static long open(long at, long end, Object object) {
    return Utf8.put(simpleName(at, end, object), end, '[');
  }

  private static long close(long at, long end) {
    return Utf8.put(at, end, ']');
  }

  /** Writes the name of a top-level class without its package. */
  private static long simpleName(long at, long end, Object object) {
    String name = object.getClass().getName();
    return Utf8.text(at, end, name.substring(name.lastIndexOf('.') + 1));
  }
}
