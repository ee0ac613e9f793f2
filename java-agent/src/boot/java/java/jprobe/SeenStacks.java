// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import java.lang.ref.Reference;
import java.lang.ref.WeakReference;

/**
 * The stacks that have been described already, by the frames as the JVM writes them. Only equal
 * frames are the same stack, not equal hashes. Classes are referred to weakly: the table keeps none
 * from being unloaded, and an unloaded class equals no other.
 *
 * <p>There is no lock. Two threads that add at the same time may lose one another's entry, which is
 * then described again, under the same ID. A table that is full is emptied: its stacks keep their
 * IDs too.
 */
final class SeenStacks {
  private static final int LISTS = 1 << 13;
  private static final int OWNERS = 1 << 13;

  /** Frames of all entries, of 18 bytes each. */
  private static final int MOST_FRAMES = 1 << 19;

  /** A stack whose ID is known. */
  private static final class Entry {
    final int hash;
    final short[] methods;
    final int[] places;
    final long[] names;
    final Reference<?>[] owners;
    final boolean isWhole;
    final long id;
    final Entry next;

    Entry(int hash, int count, boolean isWhole, long id, Entry next) {
      this.hash = hash;
      this.methods = new short[count];
      this.places = new int[count];
      this.names = new long[count];
      this.owners = new Reference<?>[count];
      this.isWhole = isWhole;
      this.id = id;
      this.next = next;
    }
  }

  private final int generation;

  /** Index of the next part of a backtrace; 0 if it has an unknown form. */
  private final int next;

  private Entry[] lists = new Entry[LISTS];
  private Reference<?>[] owners = new Reference<?>[OWNERS];
  private int frames;

  SeenStacks(int generation, int next) {
    this.generation = generation;
    this.next = next;
  }

  /** Initializes what the first stack of a traced thread needs. */
  static void prepare(int next) {
    SeenStacks trial = new SeenStacks(0, next);
    Throwable trace = Stacks.walk();
    trial.idOf(trace, 1);
    StackText.describe(0, null, 0, 1, false);
    if (next != 0) {
      Object[] first = Stacks.partOf(trace);
      trial.add(0, first, 0, 1, ((short[]) first[Stacks.METHODS]).length, true, 1);
    }
  }

  /** Returns the ID of a stack, of which {@code most} frames count; 0 if there is no room. */
  long idOf(Throwable trace, int most) {
    Object[] first = next == 0 ? null : Stacks.partOf(trace);
    if (first == null) {
      return StackText.describe(generation, null, 0, most, false);
    }
    int depth = Stacks.depthOf(trace);
    int length = ((short[]) first[Stacks.METHODS]).length;
    int begin = 0;
    Object[] classes = (Object[]) first[Stacks.CLASSES];
    while (begin < length && begin < depth && Stacks.isOwn(classes[begin])) {
      begin++;
    }
    int end = depth < begin + most ? depth : begin + most;
    boolean isWhole = end == depth && depth < Stacks.MAX;
    int hash = hashOf(first, begin, end, length);
    for (Entry entry = lists[hash & LISTS - 1]; entry != null; entry = entry.next) {
      if (entry.hash == hash
          && entry.isWhole == isWhole
          && entry.methods.length == end - begin
          && isSame(entry, first, begin, end, length)) {
        return entry.id;
      }
    }
    long id = StackText.describe(generation, trace, begin, end, !isWhole);
    if (id != 0) {
      add(hash, first, begin, end, length, isWhole, id);
    }
    return id;
  }

  private int hashOf(Object[] first, int begin, int end, int length) {
    int hash = end - begin;
    Object[] part = first;
    int at = begin;
    for (int left = end - begin; left > 0; part = (Object[]) part[next], at = 0) {
      short[] methods = (short[]) part[Stacks.METHODS];
      int[] places = (int[]) part[Stacks.PLACES];
      long[] names = (long[]) part[Stacks.NAMES];
      int stop = length < at + left ? length : at + left;
      left -= stop - at;
      for (; at < stop; at++) {
        hash = 31 * hash + ((int) (names[at] >>> 3) ^ methods[at] * 0x9E3779B1) + places[at];
      }
    }
    return hash ^ hash >>> 15;
  }

  private boolean isSame(Entry entry, Object[] first, int begin, int end, int length) {
    Object[] part = first;
    int at = begin;
    int i = 0;
    for (int left = end - begin; left > 0; part = (Object[]) part[next], at = 0) {
      short[] methods = (short[]) part[Stacks.METHODS];
      int[] places = (int[]) part[Stacks.PLACES];
      Object[] classes = (Object[]) part[Stacks.CLASSES];
      long[] names = (long[]) part[Stacks.NAMES];
      int stop = length < at + left ? length : at + left;
      left -= stop - at;
      for (; at < stop; at++, i++) {
        if (entry.places[i] != places[at]
            || entry.methods[i] != methods[at]
            || entry.names[i] != names[at]
            || entry.owners[i].get() != classes[at]) {
          return false;
        }
      }
    }
    return true;
  }

  private void add(
      int hash, Object[] first, int begin, int end, int length, boolean isWhole, long id) {
    int count = end - begin;
    if (frames + count > MOST_FRAMES) {
      lists = new Entry[LISTS];
      owners = new Reference<?>[OWNERS];
      frames = 0;
    }
    Entry[] into = lists;
    Entry entry = new Entry(hash, count, isWhole, id, into[hash & LISTS - 1]);
    Object[] part = first;
    int at = begin;
    for (int i = 0; i < count; part = (Object[]) part[next], at = 0) {
      for (; at < length && i < count; at++, i++) {
        entry.methods[i] = ((short[]) part[Stacks.METHODS])[at];
        entry.places[i] = ((int[]) part[Stacks.PLACES])[at];
        entry.names[i] = ((long[]) part[Stacks.NAMES])[at];
        entry.owners[i] = owner(((Object[]) part[Stacks.CLASSES])[at]);
      }
    }
    // Another thread must not see the arrays before their elements.
    ObjectFields.UNSAFE.storeFence();
    into[hash & LISTS - 1] = entry;
    frames += count;
  }

  /** Returns the reference to a class: one for all frames, unless there are many classes. */
  private Reference<?> owner(Object type) {
    int at = System.identityHashCode(type) & OWNERS - 1;
    Reference<?> known = owners[at];
    if (known == null || known.get() != type) {
      known = new WeakReference<>(type);
      owners[at] = known;
    }
    return known;
  }
}
