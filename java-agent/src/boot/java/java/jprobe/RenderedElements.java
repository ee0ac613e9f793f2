// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import java.util.List;
import jdk.internal.misc.Unsafe;

/**
 * Renders the elements of arrays, collections and maps of the JDK. Reads their fields without
 * methods and locks, so other threads may change them meanwhile: the text may then contain old and
 * new elements, but every walk has a bound.
 */
final class RenderedElements {
  private static final Unsafe UNSAFE = ObjectFields.UNSAFE;

  /** Number of elements that are shown. */
  static final int MAX = 10;

  /** Maximum number of places of a sparse table that are read. */
  private static final int MAX_PLACES = 1 << 10;

  /** Maximum number of wrappers around a collection. */
  private static final int MAX_WRAPPERS = 4;

  private static final int MAX_BYTES = 32;

  /** What Set.of and List.of have instead of a second element. */
  private static final Object NO_SECOND = noSecond();

  private RenderedElements() {}

  private static Object noSecond() {
    Object one = List.of("");
    int index = JdkTypes.index(one.getClass());
    return JdkTypes.kind(index) == JdkTypes.FEW ? Rendering.field(one, index, 1) : null;
  }

  /** Initializes the class. */
  static void prepare() {
    RenderedMaps.prepare();
  }

  /** Writes a collection, a map or an entry. */
  static long of(long at, long end, Object object, int index, int kind) {
    Object inner = object;
    int innerIndex = index;
    int innerKind = kind;
    for (int i = 0; isWrapper(innerKind); i++) {
      inner = Rendering.field(inner, innerIndex, 0);
      if (inner == null || i == MAX_WRAPPERS) {
        return Rendering.identity(at, end, object);
      }
      innerIndex = JdkTypes.index(inner.getClass());
      innerKind = JdkTypes.kind(innerIndex);
    }
    if (innerKind < JdkTypes.ARRAY_LIST || !isKnown(inner, innerIndex, innerKind)) {
      return Rendering.identity(at, end, object);
    }
    if (innerKind == JdkTypes.ENTRY) {
      Object key = Rendering.field(inner, innerIndex, 0);
      return entry(at, end, key, Rendering.field(inner, innerIndex, 1));
    }
    if (JdkTypes.isMap(innerKind)) {
      return Utf8.put(
          RenderedMaps.of(
              Utf8.put(at, end, '{'), end, inner, innerIndex, innerKind, RenderedMaps.ENTRIES),
          end,
          '}');
    }
    return Utf8.put(elements(Utf8.put(at, end, '['), end, inner, innerIndex, innerKind), end, ']');
  }

  /** Returns false for a part of a list or map that may be the application's. */
  private static boolean isKnown(Object object, int index, int kind) {
    if (kind == JdkTypes.SUB_LIST) {
      return Rendering.field(object, index, 0) == null || elementsOfRoot(object, index) != null;
    }
    return kind < JdkTypes.KEYS_OF_MAP
        || kind > JdkTypes.ENTRIES_OF_MAP
        || mapKind(Rendering.field(object, index, 0)) != JdkTypes.OTHER;
  }

  /** Returns the kind of a map that is no wrapper; otherwise OTHER. */
  private static int mapKind(Object map) {
    int kind = map == null ? JdkTypes.OTHER : JdkTypes.kindOf(map);
    return JdkTypes.isMap(kind) && !isWrapper(kind) ? kind : JdkTypes.OTHER;
  }

  static boolean isWrapper(int kind) {
    return kind == JdkTypes.WRAPPER || kind == JdkTypes.MAP_WRAPPER;
  }

  private static long elements(long at, long end, Object object, int index, int kind) {
    switch (kind) {
      case JdkTypes.ARRAY_LIST:
        return array(at, end, Rendering.field(object, index, 0), 0, size(object, index, 1));
      case JdkTypes.WHOLE_ARRAY:
        return array(at, end, Rendering.field(object, index, 0), 0, Integer.MAX_VALUE);
      case JdkTypes.SUB_LIST:
        Object elements = elementsOfRoot(object, index);
        return array(at, end, elements, size(object, index, 1), size(object, index, 2));
      case JdkTypes.ARRAY_DEQUE:
        return deque(at, end, object, index);
      case JdkTypes.LINKED_LIST:
        return linked(at, end, object, index);
      case JdkTypes.FEW:
        return few(at, end, object, index);
      case JdkTypes.SET_N:
        return sparse(
            at, end, (Object[]) Rendering.field(object, index, 0), size(object, index, 1));
      case JdkTypes.HASH_SET:
      case JdkTypes.TREE_SET:
      case JdkTypes.KEYS_OF_MAP:
        return parts(at, end, Rendering.field(object, index, 0), RenderedMaps.KEYS);
      case JdkTypes.VALUES_OF_MAP:
        return parts(at, end, Rendering.field(object, index, 0), RenderedMaps.VALUES);
      case JdkTypes.ENTRIES_OF_MAP:
        return parts(at, end, Rendering.field(object, index, 0), RenderedMaps.ENTRIES);
      case JdkTypes.RING:
        Object[] items = (Object[]) Rendering.field(object, index, 0);
        return ring(at, end, items, size(object, index, 1), size(object, index, 2));
      case JdkTypes.LINKED_QUEUE:
        return queue(at, end, object, index);
      case JdkTypes.COPIES:
        return copies(at, end, Rendering.field(object, index, 0), size(object, index, 1));
      case JdkTypes.ENUM_SET:
        return enumSet(at, end, object, index);
      default:
        return at;
    }
  }

  static int size(Object object, int index, int field) {
    return UNSAFE.getInt(object, JdkTypes.field(index, field));
  }

  /**
   * Returns the array of the list that a sublist is a part of; null if it is another list than an
   * ArrayList, also of a subclass, and the others that keep their elements in an array.
   */
  static Object elementsOfRoot(Object subList, int index) {
    Object root = Rendering.field(subList, index, 0);
    if (root instanceof java.util.ArrayList) {
      long elements = JdkTypes.field(JdkTypes.index(java.util.ArrayList.class), 0);
      return UNSAFE.getReference(root, elements);
    }
    int rootIndex = root == null ? 0 : JdkTypes.index(root.getClass());
    int kind = root == null ? JdkTypes.OTHER : JdkTypes.kind(rootIndex);
    return kind == JdkTypes.ARRAY_LIST || kind == JdkTypes.WHOLE_ARRAY
        ? Rendering.field(root, rootIndex, 0)
        : null;
  }

  /** Writes elements of an array, as many as it has of the given number. */
  private static long array(long at, long end, Object array, int from, int count) {
    Object[] elements = (Object[]) array;
    if (elements == null || from < 0) {
      return at;
    }
    int size = Math.min(count, elements.length - from);
    long next = at;
    for (int i = 0; i < size && i < MAX && next > 0; i++) {
      next = Rendering.element(separator(next, end, i), end, elements[from + i]);
    }
    return more(next, end, size);
  }

  /** Writes a separator before all elements except the first. */
  static long separator(long at, long end, int written) {
    return written == 0 ? at : Utf8.put(at, end, ',', ' ');
  }

  /** Writes how many elements of a collection have not been written. */
  static long more(long at, long end, long size) {
    if (size <= MAX) {
      return at;
    }
    return Utf8.text(Utf8.decimal(Utf8.text(at, end, ", … "), end, size - MAX), end, " more");
  }

  private static long deque(long at, long end, Object object, int index) {
    Object[] elements = (Object[]) Rendering.field(object, index, 0);
    int head = size(object, index, 1);
    int tail = size(object, index, 2);
    int length = elements.length;
    if (length == 0 || head < 0 || head >= length || tail < 0 || tail >= length) {
      return at;
    }
    return ring(at, end, elements, head, tail >= head ? tail - head : tail + length - head);
  }

  /** Writes elements of an array that is used as a ring. */
  private static long ring(long at, long end, Object[] elements, int head, int count) {
    int length = elements.length;
    if (head < 0 || head >= length || count > length) {
      return at;
    }
    long next = at;
    for (int i = 0; i < count && i < MAX && next > 0; i++) {
      Object element = elements[(head + i) % length];
      next = Rendering.element(separator(next, end, i), end, element);
    }
    return more(next, end, count);
  }

  /** Writes a queue of nodes. Those without an item are heads, or have been removed. */
  private static long queue(long at, long end, Object object, int index) {
    Object node = Rendering.field(object, index, 0);
    long next = at;
    int count = 0;
    for (int i = 0; i < MAX_PLACES && node != null && next > 0; i++) {
      Object item = UNSAFE.getReference(node, JdkTypes.field(index, 1));
      if (item != null && count++ < MAX) {
        next = Rendering.element(separator(next, end, count - 1), end, item);
      }
      Object after = UNSAFE.getReference(node, JdkTypes.field(index, 2));
      // A removed node is its own successor.
      node = after == node ? null : after;
    }
    return node == null || next < 0 ? more(next, end, count) : Utf8.text(next, end, ", …");
  }

  private static long copies(long at, long end, Object element, int count) {
    long next = at;
    for (int i = 0; i < count && i < MAX && next > 0; i++) {
      next = Rendering.element(separator(next, end, i), end, element);
    }
    return more(next, end, count);
  }

  private static long linked(long at, long end, Object object, int index) {
    Object link = Rendering.field(object, index, 0);
    long next = at;
    for (int i = 0; i < MAX && link != null && next > 0; i++) {
      Object item = UNSAFE.getReference(link, JdkTypes.LINK[0]);
      next = Rendering.element(separator(next, end, i), end, item);
      link = UNSAFE.getReference(link, JdkTypes.LINK[1]);
    }
    return link == null ? next : more(next, end, size(object, index, 1));
  }

  private static long few(long at, long end, Object object, int index) {
    long next = Rendering.element(at, end, ofFew(object, index, 0));
    Object second = ofFew(object, index, 1);
    return second == null ? next : Rendering.element(separator(next, end, 1), end, second);
  }

  /** Returns the first or second element of a collection that has fields for them. */
  static Object ofFew(Object object, int index, int element) {
    Object found =
        JdkTypes.hasField(index, element) ? Rendering.field(object, index, element) : null;
    return found == NO_SECOND ? null : found;
  }

  private static long sparse(long at, long end, Object[] table, int size) {
    long next = at;
    int written = 0;
    for (int i = 0; i < table.length && i < MAX_PLACES && written < MAX && next > 0; i++) {
      if (table[i] != null) {
        next = Rendering.element(separator(next, end, written++), end, table[i]);
      }
    }
    return more(next, end, size);
  }

  /** Writes keys, values or entries of the map that has the elements of a set or view. */
  private static long parts(long at, long end, Object map, int parts) {
    if (map == null) {
      return at;
    }
    int kind = mapKind(map);
    return kind == JdkTypes.OTHER
        ? Utf8.text(at, end, "…")
        : RenderedMaps.of(at, end, map, JdkTypes.index(map.getClass()), kind, parts);
  }

  private static long enumSet(long at, long end, Object object, int index) {
    long left = UNSAFE.getLong(object, JdkTypes.field(index, 0));
    Object[] universe = (Object[]) Rendering.field(object, index, 1);
    long next = at;
    int written = 0;
    for (int i = 0; i < universe.length && i < Long.SIZE && written < MAX && next > 0; i++) {
      if ((left >>> i & 1) != 0) {
        next = Rendering.element(separator(next, end, written++), end, universe[i]);
      }
    }
    return more(next, end, Long.bitCount(left));
  }

  /** Writes a key and its value. */
  static long entry(long at, long end, Object key, Object value) {
    long named = Utf8.put(Rendering.element(at, end, key), end, '=');
    return Rendering.element(named, end, value);
  }

  /** Writes an array of any type: chars as text, bytes in hexadecimal. */
  static long ofArray(long at, long end, Object array) {
    if (array instanceof char[]) {
      return chars(at, end, (char[]) array);
    }
    if (array instanceof byte[]) {
      return bytes(at, end, (byte[]) array);
    }
    long open = Utf8.put(at, end, '[');
    if (array instanceof Object[]) {
      return Utf8.put(array(open, end, array, 0, Integer.MAX_VALUE), end, ']');
    }
    int length = java.lang.reflect.Array.getLength(array);
    long next = open;
    for (int i = 0; i < length && i < MAX && next > 0; i++) {
      next = primitive(separator(next, end, i), end, array, i);
    }
    return Utf8.put(more(next, end, length), end, ']');
  }

  private static long primitive(long at, long end, Object array, int i) {
    if (array instanceof int[]) {
      return Utf8.decimal(at, end, ((int[]) array)[i]);
    }
    if (array instanceof long[]) {
      return Utf8.decimal(at, end, ((long[]) array)[i]);
    }
    if (array instanceof double[]) {
      return Utf8.text(at, end, Double.toString(((double[]) array)[i]));
    }
    if (array instanceof float[]) {
      return Utf8.text(at, end, Float.toString(((float[]) array)[i]));
    }
    if (array instanceof boolean[]) {
      return Rendering.truth(at, end, ((boolean[]) array)[i]);
    }
    return Utf8.decimal(at, end, ((short[]) array)[i]);
  }

  private static long chars(long at, long end, char[] units) {
    long next = Utf8.put(at, end, '"');
    for (int i = 0; i < units.length && next > 0; i++) {
      char low = i + 1 < units.length ? units[i + 1] : 0;
      char unit = units[i];
      next = Utf8.unit(next, end, unit, low);
      i += Utf8.isHigh(unit) && Utf8.isLow(low) ? 1 : 0;
    }
    return Utf8.put(next, end, '"');
  }

  private static long bytes(long at, long end, byte[] bytes) {
    long next = Utf8.put(at, end, '0', 'x');
    for (int i = 0; i < bytes.length && i < MAX_BYTES && next > 0; i++) {
      next = Utf8.hex(next, end, bytes[i], 2);
    }
    if (bytes.length <= MAX_BYTES) {
      return next;
    }
    long rest = Utf8.text(next, end, ", … ");
    return Utf8.text(Utf8.decimal(rest, end, bytes.length - MAX_BYTES), end, " more");
  }
}
