// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import java.util.IdentityHashMap;
import java.util.Map;
import jdk.internal.misc.Unsafe;

/** Renders the entries, or the keys, of maps of the JDK. */
final class RenderedMaps {
  private static final Unsafe UNSAFE = ObjectFields.UNSAFE;

  /** Maximum number of places of a table, and of nodes at one of them, that are read. */
  private static final int MAX_PLACES = 1 << 10;

  // The parts of an entry to write.
  static final int KEYS = 0;
  static final int VALUES = 1;
  static final int ENTRIES = 2;

  /** What an IdentityHashMap has instead of a key that is null. */
  private static final Object NULL_KEY = nullKey();

  private RenderedMaps() {}

  private static Object nullKey() {
    Map<Object, Object> map = new IdentityHashMap<>();
    map.put(null, null);
    int index = JdkTypes.index(map.getClass());
    if (JdkTypes.kind(index) == JdkTypes.IDENTITY_MAP) {
      for (Object key : (Object[]) Rendering.field(map, index, 0)) {
        if (key != null) {
          return key;
        }
      }
    }
    return null;
  }

  /** Initializes the class. */
  static void prepare() {}

  /**
   * Writes the entries, or parts of them.
   *
   * @param parts {@link #KEYS}, {@link #VALUES} or {@link #ENTRIES}
   */
  static long of(long at, long end, Object map, int index, int kind, int parts) {
    switch (kind) {
      case JdkTypes.MAP_1:
        Object key = Rendering.field(map, index, 0);
        return one(at, end, key, Rendering.field(map, index, 1), 0, parts);
      case JdkTypes.MAP_N:
      case JdkTypes.IDENTITY_MAP:
        return alternating(at, end, map, index, parts);
      case JdkTypes.HASH_MAP:
        return hashed(at, end, map, index, JdkTypes.NODE, parts);
      case JdkTypes.CONCURRENT_MAP:
        return hashed(at, end, map, index, JdkTypes.CONCURRENT_NODE, parts);
      case JdkTypes.HASHTABLE:
        return hashed(at, end, map, index, JdkTypes.HASHTABLE_ENTRY, parts);
      case JdkTypes.SKIP_LIST_MAP:
        return skipList(at, end, map, index, parts);
      case JdkTypes.LINKED_MAP:
        return linked(at, end, map, index, parts);
      case JdkTypes.TREE_MAP:
        return sorted(at, end, map, index, parts);
      case JdkTypes.ENUM_MAP:
        return enums(at, end, map, index, parts);
      default:
        return at;
    }
  }

  private static long one(long at, long end, Object key, Object value, int written, int parts) {
    long next = RenderedElements.separator(at, end, written);
    return parts == ENTRIES
        ? RenderedElements.entry(next, end, key, value)
        : Rendering.element(next, end, parts == KEYS ? key : value);
  }

  private static long node(long at, long end, Object node, long[] fields, int written, int parts) {
    Object key = UNSAFE.getReference(node, fields[0]);
    Object value = UNSAFE.getReference(node, fields[1]);
    return one(at, end, key, value, written, parts);
  }

  private static long alternating(long at, long end, Object map, int index, int parts) {
    Object[] table = (Object[]) Rendering.field(map, index, 0);
    long next = at;
    int written = 0;
    for (int i = 0; i + 1 < table.length && i < MAX_PLACES && isOpen(next, written); i += 2) {
      if (table[i] != null) {
        Object key = table[i] == NULL_KEY ? null : table[i];
        next = one(next, end, key, table[i + 1], written++, parts);
      }
    }
    return RenderedElements.more(next, end, RenderedElements.size(map, index, 1));
  }

  private static boolean isOpen(long at, int written) {
    return at > 0 && written < RenderedElements.MAX;
  }

  /** Writes the entries of a HashMap or ConcurrentHashMap. */
  private static long hashed(long at, long end, Object map, int index, long[] fields, int parts) {
    Object[] table = (Object[]) Rendering.field(map, index, 0);
    if (table == null) {
      return at;
    }
    long next = at;
    int written = 0;
    for (int i = 0; i < table.length && i < MAX_PLACES && isOpen(next, written); i++) {
      Object node = first(table[i], fields);
      for (int n = 0; node != null && n < MAX_PLACES && isOpen(next, written); n++) {
        next = node(next, end, node, fields, written++, parts);
        node = UNSAFE.getReference(node, fields[2]);
      }
    }
    boolean isConcurrent = fields == JdkTypes.CONCURRENT_NODE;
    long size =
        isConcurrent
            ? UNSAFE.getLong(map, JdkTypes.field(index, 1))
            : RenderedElements.size(map, index, 1);
    return RenderedElements.more(next, end, size);
  }

  /**
   * Returns the first node with a key at one place of a table; null if there is none, or while a
   * ConcurrentHashMap moves them.
   */
  static Object first(Object node, long[] fields) {
    boolean isConcurrent = fields == JdkTypes.CONCURRENT_NODE;
    if (node == null || !isConcurrent || UNSAFE.getInt(node, fields[3]) >= 0) {
      return node;
    }
    return node.getClass() == JdkTypes.TREE_BIN ? UNSAFE.getReference(node, JdkTypes.BIN[0]) : null;
  }

  private static long linked(long at, long end, Object map, int index, int parts) {
    Object node = Rendering.field(map, index, 2);
    long next = at;
    int written = 0;
    while (node != null && isOpen(next, written)) {
      next = node(next, end, node, JdkTypes.NODE, written++, parts);
      node = UNSAFE.getReference(node, JdkTypes.AFTER[0]);
    }
    return RenderedElements.more(next, end, RenderedElements.size(map, index, 1));
  }

  /** Walks the tree in order, with a bound: another thread may rotate it meanwhile. */
  private static long sorted(long at, long end, Object map, int index, int parts) {
    long[] fields = JdkTypes.TREE_ENTRY;
    Object node = leftmost(Rendering.field(map, index, 0));
    long next = at;
    int written = 0;
    while (node != null && isOpen(next, written)) {
      next = node(next, end, node, fields, written++, parts);
      Object right = UNSAFE.getReference(node, fields[3]);
      if (right != null) {
        node = leftmost(right);
        continue;
      }
      Object child = node;
      node = UNSAFE.getReference(node, fields[4]);
      for (int i = 0; node != null && UNSAFE.getReference(node, fields[3]) == child; i++) {
        child = node;
        node = i < MAX_PLACES ? UNSAFE.getReference(node, fields[4]) : null;
      }
    }
    return RenderedElements.more(next, end, RenderedElements.size(map, index, 1));
  }

  private static Object leftmost(Object root) {
    Object node = root;
    for (int i = 0; node != null && i < MAX_PLACES; i++) {
      Object left = UNSAFE.getReference(node, JdkTypes.TREE_ENTRY[2]);
      if (left == null) {
        return node;
      }
      node = left;
    }
    return node;
  }

  /**
   * Writes a ConcurrentSkipListMap by its lowest list, whose nodes without value are no entries.
   */
  private static long skipList(long at, long end, Object map, int index, int parts) {
    Object head = Rendering.field(map, index, 0);
    Object level = head;
    for (int i = 0; level != null && i < MAX_PLACES; i++) {
      head = level;
      level = UNSAFE.getReference(level, JdkTypes.SKIP_LIST_INDEX[1]);
    }
    Object node = head == null ? null : UNSAFE.getReference(head, JdkTypes.SKIP_LIST_INDEX[0]);
    long next = at;
    int count = 0;
    for (int i = 0; i < MAX_PLACES && node != null && next > 0; i++) {
      Object key = UNSAFE.getReference(node, JdkTypes.SKIP_LIST_NODE[0]);
      Object value = UNSAFE.getReference(node, JdkTypes.SKIP_LIST_NODE[1]);
      if (key != null && value != null && count++ < RenderedElements.MAX) {
        next = one(next, end, key, value, count - 1, parts);
      }
      node = UNSAFE.getReference(node, JdkTypes.SKIP_LIST_NODE[2]);
    }
    return node == null || next < 0
        ? RenderedElements.more(next, end, count)
        : Utf8.text(next, end, ", …");
  }

  private static long enums(long at, long end, Object map, int index, int parts) {
    Object[] keys = (Object[]) Rendering.field(map, index, 0);
    Object[] values = (Object[]) Rendering.field(map, index, 1);
    long next = at;
    int written = 0;
    for (int i = 0; i < keys.length && i < values.length && isOpen(next, written); i++) {
      if (values[i] != null) {
        next = one(next, end, keys[i], withoutMask(values[i]), written++, parts);
      }
    }
    return RenderedElements.more(next, end, RenderedElements.size(map, index, 2));
  }

  /** An EnumMap has an object of its own for null. */
  static Object withoutMask(Object value) {
    return value.getClass() == JdkTypes.NULL_IN_ENUM_MAP ? null : value;
  }
}
