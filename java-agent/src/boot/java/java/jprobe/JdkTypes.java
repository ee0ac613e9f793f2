// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

/**
 * The classes of the JDK whose values are captured, and where their fields are. Compares classes
 * exactly: a subclass may be the application's. A class or field that this JDK lacks is left out.
 * Initializes no class.
 */
final class JdkTypes {
  // How to read a value of a class. The first ones need no code that could be traced.
  static final int OTHER = 0;
  static final int STRING = 1;
  static final int INT = 2;
  static final int LONG = 3;
  static final int SHORT = 4;
  static final int BYTE = 5;
  static final int BOOLEAN = 6;
  static final int CHAR = 7;
  static final int CLASS = 8;

  static final int BUILDER = 9;
  static final int FLOAT = 10;
  static final int DOUBLE = 11;
  static final int UUID = 12;
  static final int DATE = 13;
  static final int INSTANT = 14;

  /** A field of type String, which is null until {@code toString} has been called. */
  static final int TEXT_FIELD = 15;

  static final int PATH = 16;
  static final int URL = 17;
  static final int BIG_INTEGER = 18;
  static final int BIG_DECIMAL = 19;

  /** {@code toString} is called, which is short and runs code of the JDK alone. */
  static final int TO_STRING = 20;

  static final int OPTIONAL_INT = 21;
  static final int OPTIONAL_LONG = 22;
  static final int OPTIONAL_DOUBLE = 23;
  static final int ATOMIC_BOOLEAN = 24;

  /** The first kind of objects that hold others: Optional and AtomicReference. */
  static final int HOLDER = 25;

  /** The first kind of collections. */
  static final int ARRAY_LIST = 30;

  static final int WHOLE_ARRAY = 31;
  static final int SUB_LIST = 32;
  static final int ARRAY_DEQUE = 33;
  static final int LINKED_LIST = 34;
  static final int FEW = 35;
  static final int EMPTY = 36;
  static final int SET_N = 37;
  static final int HASH_SET = 38;
  static final int TREE_SET = 39;
  static final int ENUM_SET = 40;
  static final int WRAPPER = 41;
  static final int RING = 42;
  static final int LINKED_QUEUE = 43;
  static final int COPIES = 44;

  /** What {@code keySet}, {@code values} and {@code entrySet} of a map return. */
  static final int KEYS_OF_MAP = 45;

  static final int VALUES_OF_MAP = 46;
  static final int ENTRIES_OF_MAP = 47;

  /** The first kind of maps. */
  static final int MAP_1 = 50;

  static final int MAP_N = 51;
  static final int HASH_MAP = 52;
  static final int LINKED_MAP = 53;
  static final int TREE_MAP = 54;
  static final int CONCURRENT_MAP = 55;
  static final int ENUM_MAP = 56;
  static final int EMPTY_MAP = 57;
  static final int MAP_WRAPPER = 58;
  static final int HASHTABLE = 59;
  static final int SKIP_LIST_MAP = 60;
  static final int IDENTITY_MAP = 61;

  static final int ENTRY = 70;

  private static final int SIZE = 1024;
  private static final Class<?>[] CLASSES = new Class<?>[SIZE];
  private static final byte[] KINDS = new byte[SIZE];
  private static final long[][] OFFSETS = new long[SIZE][];

  static final long STRING_UNITS = offset(String.class, "value");
  static final long STRING_CODER = offset(String.class, "coder");

  // Fields of classes that applications extend.
  static final long ENUM_NAME = offset(Enum.class, "name");
  static final long THREAD_NAME = offset(Thread.class, "name");
  static final long THREAD_ID = offset(Thread.class, "tid");
  static final long MESSAGE = offset(Throwable.class, "detailMessage");

  // Parts of collections.
  static final long[] LINK = partOf("java.util.LinkedList$Node", "item", "next");
  static final long[] NODE = partOf("java.util.HashMap$Node", "key", "value", "next", "hash");
  static final long[] AFTER = partOf("java.util.LinkedHashMap$Entry", "after");
  static final long[] TREE_ENTRY =
      partOf("java.util.TreeMap$Entry", "key", "value", "left", "right", "parent");
  static final long[] BIN = partOf("java.util.concurrent.ConcurrentHashMap$TreeBin", "first");
  static final long[] CONCURRENT_NODE =
      partOf("java.util.concurrent.ConcurrentHashMap$Node", "key", "val", "next", "hash");
  static final long[] HASHTABLE_ENTRY =
      partOf("java.util.Hashtable$Entry", "key", "value", "next", "hash");
  static final long[] SKIP_LIST_NODE =
      partOf("java.util.concurrent.ConcurrentSkipListMap$Node", "key", "val", "next");
  static final long[] SKIP_LIST_INDEX =
      partOf("java.util.concurrent.ConcurrentSkipListMap$Index", "node", "down");
  static final Class<?> TREE_BIN = find("java.util.concurrent.ConcurrentHashMap$TreeBin");
  static final Class<?> NULL_IN_ENUM_MAP = find("java.util.EnumMap$1");

  static {
    String lang = "java.lang.";
    add(lang + "String", STRING);
    add(lang + "StringBuilder", BUILDER, "value", "coder", "count");
    add(lang + "StringBuffer", BUILDER, "value", "coder", "count");
    add(lang + "Integer", INT, "value");
    add(lang + "Long", LONG, "value");
    add(lang + "Short", SHORT, "value");
    add(lang + "Byte", BYTE, "value");
    add(lang + "Boolean", BOOLEAN, "value");
    add(lang + "Character", CHAR, "value");
    add(lang + "Float", FLOAT, "value");
    add(lang + "Double", DOUBLE, "value");
    add(lang + "Class", CLASS);

    String atomic = "java.util.concurrent.atomic.Atomic";
    add(atomic + "Integer", INT, "value");
    add(atomic + "Long", LONG, "value");
    add(atomic + "Boolean", ATOMIC_BOOLEAN, "value");
    add(atomic + "Reference", HOLDER, "value");
    add("java.util.Optional", HOLDER, "value");
    add("java.util.OptionalInt", OPTIONAL_INT, "isPresent", "value");
    add("java.util.OptionalLong", OPTIONAL_LONG, "isPresent", "value");
    add("java.util.OptionalDouble", OPTIONAL_DOUBLE, "isPresent", "value");

    add("java.util.UUID", UUID, "mostSigBits", "leastSigBits");
    add("java.util.Date", DATE, "fastTime");
    add("java.time.Instant", INSTANT, "seconds", "nanos");
    add("java.time.ZoneOffset", TEXT_FIELD, "id");
    add("java.time.ZoneRegion", TEXT_FIELD, "id");
    for (String name :
        new String[] {
          "Duration",
          "LocalDate",
          "LocalDateTime",
          "LocalTime",
          "MonthDay",
          "OffsetDateTime",
          "OffsetTime",
          "Period",
          "Year",
          "YearMonth",
          "ZonedDateTime"
        }) {
      add("java.time." + name, TO_STRING);
    }
    add("java.math.BigInteger", BIG_INTEGER, "mag");
    add("java.math.BigDecimal", BIG_DECIMAL, "intVal");
    add("java.io.File", TEXT_FIELD, "path");
    add("java.net.URI", TEXT_FIELD, "string");
    add("java.net.URL", URL, "protocol", "authority", "file", "ref");
    add("sun.nio.fs.UnixPath", PATH, "path");

    addLists("java.util.");
    addQueues("java.util.");
    addMaps("java.util.");
    addViews("java.util.");
    addWrappers("java.util.Collections$");
  }

  private JdkTypes() {}

  private static void addLists(String util) {
    add(util + "ArrayList", ARRAY_LIST, "elementData", "size");
    add(util + "Vector", ARRAY_LIST, "elementData", "elementCount");
    add(util + "Stack", ARRAY_LIST, "elementData", "elementCount");
    add(util + "Arrays$ArrayList", WHOLE_ARRAY, "a");
    add(util + "ImmutableCollections$ListN", WHOLE_ARRAY, "elements");
    add(util + "concurrent.CopyOnWriteArrayList", WHOLE_ARRAY, "array");
    add(util + "ArrayList$SubList", SUB_LIST, "root", "offset", "size");
    add(util + "ImmutableCollections$SubList", SUB_LIST, "root", "offset", "size");
    add(util + "AbstractList$SubList", SUB_LIST, "root", "offset", "size");
    add(util + "AbstractList$RandomAccessSubList", SUB_LIST, "root", "offset", "size");
    add(util + "Collections$CopiesList", COPIES, "element", "n");
    add(util + "LinkedList", LINKED_LIST, "first", "size");
    add(util + "ImmutableCollections$List12", FEW, "e0", "e1");
    add(util + "ImmutableCollections$Set12", FEW, "e0", "e1");
    add(util + "Collections$SingletonList", FEW, "element");
    add(util + "Collections$SingletonSet", FEW, "element");
    add(util + "Collections$EmptyList", EMPTY);
    add(util + "Collections$EmptySet", EMPTY);
    add(util + "ImmutableCollections$SetN", SET_N, "elements", "size");
    add(util + "HashSet", HASH_SET, "map");
    add(util + "LinkedHashSet", HASH_SET, "map");
    add(util + "TreeSet", TREE_SET, "m");
    add(util + "concurrent.ConcurrentSkipListSet", TREE_SET, "m");
    add(util + "Collections$SetFromMap", HASH_SET, "m");
    add(util + "concurrent.CopyOnWriteArraySet", WRAPPER, "al");
    add(util + "RegularEnumSet", ENUM_SET, "elements", "universe");
  }

  private static void addQueues(String util) {
    add(util + "ArrayDeque", ARRAY_DEQUE, "elements", "head", "tail");
    add(util + "PriorityQueue", ARRAY_LIST, "queue", "size");
    String concurrent = util + "concurrent.";
    add(concurrent + "PriorityBlockingQueue", ARRAY_LIST, "queue", "size");
    add(concurrent + "ArrayBlockingQueue", RING, "items", "takeIndex", "count");
    addLinked(concurrent + "LinkedBlockingQueue", "head");
    addLinked(concurrent + "LinkedBlockingDeque", "first");
    addLinked(concurrent + "ConcurrentLinkedQueue", "head");
    addLinked(concurrent + "ConcurrentLinkedDeque", "head");
  }

  /** Adds a queue with its first node, and that node's item and next node. */
  private static void addLinked(String queue, String first) {
    long[] node = partOf(queue + "$Node", "item", "next");
    if (node != null && add(queue, LINKED_QUEUE, first)) {
      int index = index(find(queue));
      OFFSETS[index] = new long[] {field(index, 0), node[0], node[1]};
    }
  }

  private static void addViews(String util) {
    add(util + "HashMap$KeySet", KEYS_OF_MAP, "this$0");
    add(util + "HashMap$Values", VALUES_OF_MAP, "this$0");
    add(util + "HashMap$EntrySet", ENTRIES_OF_MAP, "this$0");
    add(util + "LinkedHashMap$LinkedKeySet", KEYS_OF_MAP, "this$0");
    add(util + "LinkedHashMap$LinkedValues", VALUES_OF_MAP, "this$0");
    add(util + "LinkedHashMap$LinkedEntrySet", ENTRIES_OF_MAP, "this$0");
    add(util + "TreeMap$KeySet", KEYS_OF_MAP, "m");
    add(util + "TreeMap$Values", VALUES_OF_MAP, "this$0");
    add(util + "TreeMap$EntrySet", ENTRIES_OF_MAP, "this$0");
    String concurrent = util + "concurrent.Concurrent";
    add(concurrent + "HashMap$KeySetView", KEYS_OF_MAP, "map");
    add(concurrent + "HashMap$ValuesView", VALUES_OF_MAP, "map");
    add(concurrent + "HashMap$EntrySetView", ENTRIES_OF_MAP, "map");
    add(concurrent + "SkipListMap$KeySet", KEYS_OF_MAP, "m");
    add(concurrent + "SkipListMap$Values", VALUES_OF_MAP, "m");
    add(concurrent + "SkipListMap$EntrySet", ENTRIES_OF_MAP, "m");
  }

  private static void addMaps(String util) {
    add(util + "ImmutableCollections$Map1", MAP_1, "k0", "v0");
    add(util + "Collections$SingletonMap", MAP_1, "k", "v");
    add(util + "ImmutableCollections$MapN", MAP_N, "table", "size");
    add(util + "HashMap", HASH_MAP, "table", "size");
    add(util + "LinkedHashMap", LINKED_MAP, "table", "size", "head");
    add(util + "TreeMap", TREE_MAP, "root", "size", "comparator");
    add(util + "concurrent.ConcurrentHashMap", CONCURRENT_MAP, "table", "baseCount");
    add(util + "EnumMap", ENUM_MAP, "keyUniverse", "vals", "size");
    if (HASHTABLE_ENTRY != null) {
      add(util + "Hashtable", HASHTABLE, "table", "count");
    }
    if (SKIP_LIST_NODE != null && SKIP_LIST_INDEX != null) {
      add(util + "concurrent.ConcurrentSkipListMap", SKIP_LIST_MAP, "head");
    }
    add(util + "IdentityHashMap", IDENTITY_MAP, "table", "size");
    add(util + "Collections$EmptyMap", EMPTY_MAP);
    add(util + "Properties", MAP_WRAPPER, "map");
    add(util + "HashMap$Node", ENTRY, "key", "value");
    add(util + "LinkedHashMap$Entry", ENTRY, "key", "value");
    add(util + "TreeMap$Entry", ENTRY, "key", "value");
    add(util + "concurrent.ConcurrentHashMap$MapEntry", ENTRY, "key", "val");
    add(util + "AbstractMap$SimpleEntry", ENTRY, "key", "value");
    add(util + "AbstractMap$SimpleImmutableEntry", ENTRY, "key", "value");
    add(util + "KeyValueHolder", ENTRY, "key", "value");
  }

  private static void addWrappers(String collections) {
    for (String how : new String[] {"Unmodifiable", "Synchronized"}) {
      for (String of :
          new String[] {
            "Collection",
            "List",
            "RandomAccessList",
            "Set",
            "SortedSet",
            "NavigableSet",
            "SequencedCollection",
            "SequencedSet"
          }) {
        add(collections + how + of, WRAPPER, "c");
      }
      for (String of : new String[] {"Map", "SortedMap", "NavigableMap", "SequencedMap"}) {
        add(collections + how + of, MAP_WRAPPER, "m");
      }
    }
  }

  /** Loads the class, without initializing it. Returns null if this JDK lacks it. */
  private static Class<?> find(String name) {
    try {
      return Class.forName(name, false, null);
    } catch (ClassNotFoundException e) {
      return null;
    }
  }

  private static long[] partOf(String name, String... fields) {
    Class<?> type = find(name);
    return type == null ? null : offsets(type, fields);
  }

  private static boolean add(String name, int kind, String... fields) {
    Class<?> type = find(name);
    long[] offsets = type == null ? null : offsets(type, fields);
    if (offsets == null) {
      return false;
    }
    int index = index(type);
    CLASSES[index] = type;
    KINDS[index] = (byte) kind;
    OFFSETS[index] = offsets;
    return true;
  }

  /** Returns the offsets of fields, declared or inherited; null if one of them does not exist. */
  private static long[] offsets(Class<?> type, String[] fields) {
    long[] offsets = new long[fields.length];
    for (int i = 0; i < fields.length; i++) {
      offsets[i] = -1;
      for (Class<?> at = type; at != null && offsets[i] < 0; at = at.getSuperclass()) {
        offsets[i] = offset(at, fields[i]);
      }
      if (offsets[i] < 0) {
        return null;
      }
    }
    return offsets;
  }

  private static long offset(Class<?> type, String field) {
    try {
      return ObjectFields.UNSAFE.objectFieldOffset(type, field);
    } catch (InternalError e) {
      return -1;
    }
  }

  /** Returns the index of the class in the tables, or a free one if it is not in them. */
  static int index(Class<?> type) {
    int index = System.identityHashCode(type) & SIZE - 1;
    while (CLASSES[index] != type && CLASSES[index] != null) {
      index = index + 1 & SIZE - 1;
    }
    return index;
  }

  static int kind(int index) {
    return KINDS[index];
  }

  static int kindOf(Object object) {
    return KINDS[index(object.getClass())];
  }

  /** Returns the offset of one of the fields with which the class is listed above. */
  static long field(int index, int field) {
    return OFFSETS[index][field];
  }

  static boolean hasField(int index, int field) {
    return field < OFFSETS[index].length;
  }

  static boolean isMap(int kind) {
    return kind >= MAP_1 && kind < ENTRY;
  }
}
