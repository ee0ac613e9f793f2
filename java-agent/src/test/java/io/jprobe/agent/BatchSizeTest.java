// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class BatchSizeTest {
  private static final long MS = 1_000_000;

  private final BatchSize size = new BatchSize();

  /** Retransforms batches whose safepoints have a fixed part and one per class. */
  private void retransform(int batches, double fixedMs, double perClassMs, double weaveMs) {
    for (int i = 0; i < batches; i++) {
      double safepoint = fixedMs + perClassMs * size.classes();
      double all = safepoint + weaveMs * size.classes();
      size.adapt(size.classes(), (long) (all * MS), (long) (safepoint * MS));
    }
  }

  @Test
  public void growsUntilASafepointTakes40Ms() {
    retransform(20, 10, 0.05, 0);
    assertEquals(600, size.classes(), 6);
  }

  @Test
  public void growsUntilABatchTakes200Ms() {
    retransform(20, 5, 0.01, 1);
    assertEquals(193, size.classes(), 2);
  }

  @Test
  public void doublesTheTimeOfTheFastestBatchIfEverySafepointIsLong() {
    retransform(20, 80, 0.5, 0);
    // The fastest batch takes 80 + 0.5 * 64 = 112 ms.
    assertEquals(288, size.classes(), 3);
  }

  @Test
  public void hasAMaximum() {
    retransform(20, 1, 0, 0);
    assertEquals(BatchSize.MAX, size.classes());
  }

  @Test
  public void doesNotShrinkAfterAPartOfABatch() {
    retransform(20, 1, 0, 0);
    size.adapt(3, MS, MS);
    assertEquals(BatchSize.MAX, size.classes());
  }

  @Test
  public void halvesAfterALongSafepoint() {
    retransform(20, 1, 0, 0);
    size.adapt(BatchSize.MAX, 400 * MS, 400 * MS);
    assertEquals(BatchSize.MAX / 2, size.classes());
    size.reset();
    assertEquals(BatchSize.MIN, size.classes());
  }
}
