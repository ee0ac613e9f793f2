// SPDX-License-Identifier: Apache-2.0

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;

/**
 * A program of 2,000 methods that says when it begins, and when it has loaded them all; for each
 * line on stdin it then prints how many bytes its heap holds after a full collection, and how many
 * its metaspace.
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
        // As the collection left it: since then each thread may have taken room for what is to
        // come.
        used += pool.getCollectionUsage().getUsed();
      } else if (pool.getType() == type && pool.getName().equals("Metaspace")) {
        // The compressed class space is a part of it.
        used += pool.getUsage().getUsed();
      }
    }
    return used;
  }
}
