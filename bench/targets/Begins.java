// SPDX-License-Identifier: Apache-2.0

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;

/**
 * A program of 2,000 methods that reports its start and the time when it has loaded them all. For
 * each line on stdin it then prints the sizes of its heap after a full collection and of its
 * metaspace, in bytes.
 */
public class Begins {
  public static void main(String[] arguments) throws Exception {
    System.out.println("begun");
    System.out.println(many.Many.all(1) == 42 ? "loaded." : "loaded");
    while (System.in.read() >= 0) {
      System.gc();
      System.gc();
      System.out.println("memory " + used(MemoryType.HEAP) + " " + used(MemoryType.NON_HEAP));
    }
  }

  private static long used(MemoryType type) {
    long used = 0;
    for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
      if (pool.getType() == type && type == MemoryType.HEAP) {
        // Usage after the collection: since then, threads may have allocated new buffers.
        used += pool.getCollectionUsage().getUsed();
      } else if (pool.getType() == type && pool.getName().equals("Metaspace")) {
        // Includes the compressed class space.
        used += pool.getUsage().getUsed();
      }
    }
    return used;
  }
}
