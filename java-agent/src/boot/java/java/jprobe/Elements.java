// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

/**
 * Finds elements for paths: {@code arg0[0]}, {@code arg1.get("id")}. Reads the fields of the JDK's
 * collections, of exactly those classes, without methods and locks: the application's equals and
 * hashCode never run. Returns null where there is no such element, and for all other objects.
 */
abstract class Elements extends ObjectFields {
  private static final int MAX_WRAPPERS = 4;

  /** Maximum number of nodes that are read for a key. */
  private static final int MAX_NODES = 1 << 10;

  Elements() {}

  /** Returns the element of a list or of an array of references. */
  public static Object element(Object list, int index) {
    Object inner = unwrapped(list);
    if (inner instanceof Object[]) {
      return elementOf(inner, 0, index, Integer.MAX_VALUE);
    }
    int type = inner == null ? -1 : JdkTypes.index(inner.getClass());
    switch (inner == null ? JdkTypes.OTHER : JdkTypes.kind(type)) {
      case JdkTypes.ARRAY_LIST:
        return elementOf(
            Rendering.field(inner, type, 0), 0, index, RenderedElements.size(inner, type, 1));
      case JdkTypes.WHOLE_ARRAY:
        return elementOf(Rendering.field(inner, type, 0), 0, index, Integer.MAX_VALUE);
      case JdkTypes.SUB_LIST:
        Object elements = RenderedElements.elementsOfRoot(inner, type);
        int from = RenderedElements.size(inner, type, 1);
        return elementOf(elements, from, index, RenderedElements.size(inner, type, 2));
      case JdkTypes.FEW:
        return index < 2 ? RenderedElements.ofFew(inner, type, index) : null;
      case JdkTypes.LINKED_LIST:
        Object link = Rendering.field(inner, type, 0);
        for (int i = 0; i < index && i < MAX_NODES && link != null; i++) {
          link = UNSAFE.getReference(link, JdkTypes.LINK[1]);
        }
        return link == null || index > MAX_NODES
            ? null
            : UNSAFE.getReference(link, JdkTypes.LINK[0]);
      default:
        return null;
    }
  }

  private static Object elementOf(Object array, int from, int index, int size) {
    Object[] elements = (Object[]) array;
    boolean exists =
        elements != null && index < size && from >= 0 && from < elements.length - index;
    return exists ? elements[from + index] : null;
  }

  /** Returns the value of a string, which is also the name of an enum's constant. */
  public static Object get(Object map, String key) {
    return value(map, key, 0, Utf8.hash(key));
  }

  /** Returns the value of a number of any integral type; of a list, its element. */
  public static Object get(Object map, long key) {
    Object inner = unwrapped(map);
    if (inner == null || !JdkTypes.isMap(JdkTypes.kindOf(inner))) {
      return key == (int) key && key >= 0 ? element(inner, (int) key) : null;
    }
    Object found = key == (int) key ? value(inner, null, key, (int) key) : null;
    // A Long has the hash of an Integer only if it is positive and small.
    return found != null || key == (int) key && key >= 0
        ? found
        : value(inner, null, key, (int) (key ^ key >>> 32));
  }

  private static Object value(Object map, String text, long number, int hash) {
    Object inner = unwrapped(map);
    int type = inner == null ? -1 : JdkTypes.index(inner.getClass());
    switch (inner == null ? JdkTypes.OTHER : JdkTypes.kind(type)) {
      case JdkTypes.MAP_1:
        return isKey(Rendering.field(inner, type, 0), text, number)
            ? Rendering.field(inner, type, 1)
            : null;
      case JdkTypes.MAP_N:
        Object[] table = (Object[]) Rendering.field(inner, type, 0);
        for (int i = 0; i + 1 < table.length && i < 2 * MAX_NODES; i += 2) {
          if (isKey(table[i], text, number)) {
            return table[i + 1];
          }
        }
        return null;
      case JdkTypes.HASH_MAP:
      case JdkTypes.LINKED_MAP:
        return hashed(inner, type, JdkTypes.NODE, text, number, hash ^ hash >>> 16);
      case JdkTypes.CONCURRENT_MAP:
        return hashed(inner, type, JdkTypes.CONCURRENT_NODE, text, number, hash ^ hash >>> 16);
      case JdkTypes.TREE_MAP:
        return sorted(inner, type, text, number);
      case JdkTypes.ENUM_MAP:
        return ofEnum(inner, type, text);
      default:
        return null;
    }
  }

  private static Object hashed(
      Object map, int type, long[] fields, String text, long number, int hash) {
    Object[] table = (Object[]) Rendering.field(map, type, 0);
    if (table == null || table.length == 0) {
      return null;
    }
    Object node = RenderedMaps.first(table[hash & table.length - 1], fields);
    for (int i = 0; node != null && i < MAX_NODES; i++) {
      if (isKey(UNSAFE.getReference(node, fields[0]), text, number)) {
        return UNSAFE.getReference(node, fields[1]);
      }
      node = UNSAFE.getReference(node, fields[2]);
    }
    return null;
  }

  /** Descends in a TreeMap of strings or numbers in their own order. */
  private static Object sorted(Object map, int type, String text, long number) {
    if (Rendering.field(map, type, 2) != null) {
      return null;
    }
    Object node = Rendering.field(map, type, 0);
    for (int i = 0; node != null && i < MAX_NODES; i++) {
      Object key = UNSAFE.getReference(node, JdkTypes.TREE_ENTRY[0]);
      int order;
      if (key instanceof String && text != null) {
        order = Utf8.compare(text, (String) key);
      } else if (isIntegral(key) && text == null) {
        long other = number(key);
        order = number < other ? -1 : number > other ? 1 : 0;
      } else {
        return null;
      }
      if (order == 0) {
        return UNSAFE.getReference(node, JdkTypes.TREE_ENTRY[1]);
      }
      node = UNSAFE.getReference(node, JdkTypes.TREE_ENTRY[order < 0 ? 2 : 3]);
    }
    return null;
  }

  private static Object ofEnum(Object map, int type, String name) {
    Object[] keys = (Object[]) Rendering.field(map, type, 0);
    Object[] values = (Object[]) Rendering.field(map, type, 1);
    for (int i = 0; name != null && i < keys.length && i < values.length; i++) {
      if (values[i] != null && name.equals(string(keys[i]))) {
        return RenderedMaps.withoutMask(values[i]);
      }
    }
    return null;
  }

  /** Returns the class if it is initialized, or null: reading its fields would initialize it. */
  public static Object initialized(Class<?> type) {
    return UNSAFE.shouldBeInitialized(type) ? null : type;
  }

  private static Object unwrapped(Object object) {
    Object inner = object;
    for (int i = 0; inner != null && i <= MAX_WRAPPERS; i++) {
      int type = JdkTypes.index(inner.getClass());
      if (!RenderedElements.isWrapper(JdkTypes.kind(type))) {
        return inner;
      }
      inner = Rendering.field(inner, type, 0);
    }
    return null;
  }

  private static boolean isKey(Object key, String text, long number) {
    if (text == null) {
      return isIntegral(key) && number(key) == number;
    }
    return text.equals(key instanceof Enum ? string(key) : key);
  }

  /** Returns a string, or the name of an enum's constant; null for other objects. */
  public static String string(Object object) {
    if (object instanceof String) {
      return (String) object;
    }
    return object instanceof Enum ? (String) UNSAFE.getReference(object, JdkTypes.ENUM_NAME) : null;
  }

  /** Returns true for an Integer, Long, Short, Byte, AtomicInteger or AtomicLong. */
  public static boolean isIntegral(Object object) {
    int kind = object == null ? JdkTypes.OTHER : JdkTypes.kindOf(object);
    return kind >= JdkTypes.INT && kind <= JdkTypes.BYTE;
  }

  /** Returns true for those and for a Float or Double. */
  public static boolean isNumber(Object object) {
    int kind = object == null ? JdkTypes.OTHER : JdkTypes.kindOf(object);
    return kind >= JdkTypes.INT && kind <= JdkTypes.BYTE
        || kind == JdkTypes.FLOAT
        || kind == JdkTypes.DOUBLE;
  }

  public static boolean isBoolean(Object object) {
    return object != null && JdkTypes.kindOf(object) == JdkTypes.BOOLEAN;
  }

  public static boolean truth(Object object) {
    return UNSAFE.getBoolean(object, JdkTypes.field(JdkTypes.index(object.getClass()), 0));
  }

  /** Returns the value of an {@link #isIntegral} object. */
  public static long number(Object object) {
    int type = JdkTypes.index(object.getClass());
    long field = JdkTypes.field(type, 0);
    switch (JdkTypes.kind(type)) {
      case JdkTypes.INT:
        return UNSAFE.getInt(object, field);
      case JdkTypes.LONG:
        return UNSAFE.getLong(object, field);
      case JdkTypes.SHORT:
        return UNSAFE.getShort(object, field);
      default:
        return UNSAFE.getByte(object, field);
    }
  }

  /** Returns the value of an {@link #isNumber} object. */
  public static double decimal(Object object) {
    int type = JdkTypes.index(object.getClass());
    switch (JdkTypes.kind(type)) {
      case JdkTypes.FLOAT:
        return UNSAFE.getFloat(object, JdkTypes.field(type, 0));
      case JdkTypes.DOUBLE:
        return UNSAFE.getDouble(object, JdkTypes.field(type, 0));
      default:
        return number(object);
    }
  }
}
