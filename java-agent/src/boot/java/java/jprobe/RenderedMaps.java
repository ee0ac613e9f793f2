// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import jdk.internal.misc.Unsafe;

/** Renders the entries, or the keys, of maps of the JDK. */
final class RenderedMaps {
  private static final Unsafe UNSAFE = ObjectFields.UNSAFE;

  /** Maximum number of places of a table, and of nodes at one of them, that are read. */
  private static final int MAX_PLACES = 1 << 10;

  private RenderedMaps() {}

  /**
   * Writes the entries.
   *
   * @param hasValues false to write keys alone
   */
  static long of(long at, long end, Object map, int index, int kind, boolean hasValues) {
    switch (kind) {
      case JdkTypes.MAP_1:
        Object key = Rendering.field(map, index, 0);
        return one(at, end, key, Rendering.field(map, index, 1), 0, hasValues);
      case JdkTypes.MAP_N:
        return alternating(at, end, map, index, hasValues);
      case JdkTypes.HASH_MAP:
        return hashed(at, end, map, index, JdkTypes.NODE, hasValues);
      case JdkTypes.CONCURRENT_MAP:
        return hashed(at, end, map, index, JdkTypes.CONCURRENT_NODE, hasValues);
      case JdkTypes.LINKED_MAP:
        return linked(at, end, map, index, hasValues);
      case JdkTypes.TREE_MAP:
        return sorted(at, end, map, index, hasValues);
      case JdkTypes.ENUM_MAP:
        return enums(at, end, map, index, hasValues);
      default:
        return at;
    }
  }

  private static long one(
      long at, long end, Object key, Object value, int written, boolean hasValue) {
    long next = RenderedElements.separator(at, end, written);
    return hasValue
        ? RenderedElements.entry(next, end, key, value)
        : Rendering.element(next, end, key);
  }

  private static long node(
      long at, long end, Object node, long[] fields, int written, boolean hasValue) {
    Object key = UNSAFE.getReference(node, fields[0]);
    Object value = UNSAFE.getReference(node, fields[1]);
    return one(at, end, key, value, written, hasValue);
  }

  private static long alternating(long at, long end, Object map, int index, boolean hasValues) {
    Object[] table = (Object[]) Rendering.field(map, index, 0);
    long next = at;
    int written = 0;
    for (int i = 0; i + 1 < table.length && i < MAX_PLACES && isOpen(next, written); i += 2) {
      if (table[i] != null) {
        next = one(next, end, table[i], table[i + 1], written++, hasValues);
      }
    }
    return RenderedElements.more(next, end, RenderedElements.size(map, index, 1));
  }

  private static boolean isOpen(long at, int written) {
    return at > 0 && written < RenderedElements.MAX;
  }

  /** Writes the entries of a HashMap or ConcurrentHashMap. */
  private static long hashed(
      long at, long end, Object map, int index, long[] fields, boolean hasValues) {
    Object[] table = (Object[]) Rendering.field(map, index, 0);
    if (table == null) {
      return at;
    }
    long next = at;
    int written = 0;
    for (int i = 0; i < table.length && i < MAX_PLACES && isOpen(next, written); i++) {
      Object node = first(table[i], fields);
      for (int n = 0; node != null && n < MAX_PLACES && isOpen(next, written); n++) {
        next = node(next, end, node, fields, written++, hasValues);
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
    if (node == null || UNSAFE.getInt(node, fields[3]) >= 0 || fields == JdkTypes.NODE) {
      return node;
    }
    return node.getClass() == JdkTypes.TREE_BIN ? UNSAFE.getReference(node, JdkTypes.BIN[0]) : null;
  }

  private static long linked(long at, long end, Object map, int index, boolean hasValues) {
    Object node = Rendering.field(map, index, 2);
    long next = at;
    int written = 0;
    while (node != null && isOpen(next, written)) {
      next = node(next, end, node, JdkTypes.NODE, written++, hasValues);
      node = UNSAFE.getReference(node, JdkTypes.AFTER[0]);
    }
    return RenderedElements.more(next, end, RenderedElements.size(map, index, 1));
  }

  /** Walks the tree in order, with a bound: another thread may rotate it meanwhile. */
  private static long sorted(long at, long end, Object map, int index, boolean hasValues) {
    long[] fields = JdkTypes.TREE_ENTRY;
    Object node = leftmost(Rendering.field(map, index, 0));
    long next = at;
    int written = 0;
    while (node != null && isOpen(next, written)) {
      next = node(next, end, node, fields, written++, hasValues);
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

  private static long enums(long at, long end, Object map, int index, boolean hasValues) {
    Object[] keys = (Object[]) Rendering.field(map, index, 0);
    Object[] values = (Object[]) Rendering.field(map, index, 1);
    long next = at;
    int written = 0;
    for (int i = 0; i < keys.length && i < values.length && isOpen(next, written); i++) {
      if (values[i] != null) {
        next = one(next, end, keys[i], withoutMask(values[i]), written++, hasValues);
      }
    }
    return RenderedElements.more(next, end, RenderedElements.size(map, index, 2));
  }

  /** An EnumMap has an object of its own for null. */
  static Object withoutMask(Object value) {
    return value.getClass() == JdkTypes.NULL_IN_ENUM_MAP ? null : value;
  }
}
