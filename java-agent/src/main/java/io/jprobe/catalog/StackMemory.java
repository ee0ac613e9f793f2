// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.layout.OverheadLayout;
import io.jprobe.stub.DirectMemory;
import io.jprobe.stub.StubException;
import io.jprobe.stub.StubLibrary;
import java.jprobe.Fire;

/**
 * The memory in which captured stacks are described for collectors (layout/stacks.toml). It exists
 * from the first method that captures its stack until the agent shuts down, so that an ID stays
 * that of its stack. For the watcher thread only.
 */
public final class StackMemory {
  /** Default of {@link #setBytes}. */
  public static final int DEFAULT_BYTES = 8 << 20;

  private int bytes = DEFAULT_BYTES;
  private StubLibrary first;
  private boolean isOpen;
  private boolean hasFailed;
  private String unreported;

  StackMemory() {}

  /** Sets the size of the memory, of which only pages with stacks are used. */
  public void setBytes(int bytes) {
    this.bytes = bytes;
  }

  void publishIn(StubLibrary library) {
    first = library;
  }

  /** Opens the memory, unless it is open. Without it, stacks are absent. */
  public void open() {
    if (isOpen || first == null) {
      return;
    }
    try {
      int descriptor = DirectMemory.openStacks(bytes);
      Fire.prepareStacks(DirectMemory.stacksGeneration());
      first.setGateInt(0, OverheadLayout.STACKS, 1 + descriptor);
      isOpen = true;
    } catch (StubException e) {
      if (!hasFailed) {
        hasFailed = true;
        unreported = "cannot capture stacks: " + e.getMessage() + "; the values are absent";
      }
    }
  }

  void close() {
    if (isOpen) {
      isOpen = false;
      first.setGateInt(0, OverheadLayout.STACKS, 0);
      Fire.prepareStacks(0);
      DirectMemory.closeStacks();
    }
  }

  String takeUnreported() {
    String taken = unreported;
    unreported = null;
    return taken;
  }
}
