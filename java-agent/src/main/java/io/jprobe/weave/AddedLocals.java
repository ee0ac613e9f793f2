// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.Opcodes;

/**
 * Local variables that weaving adds after all others, so that no instruction of the method changes.
 */
final class AddedLocals {
  /** Placeholder for the type of {@code this}, which differs before and after super(). */
  private static final Object RECEIVER = new Object();

  private final int first;
  private final List<Object> types = new ArrayList<>();
  private int next;

  /**
   * @param first first slot that the method does not use
   */
  AddedLocals(int first) {
    this.first = first;
    this.next = first;
  }

  /**
   * Adds a variable.
   *
   * @param type type in the form of a stack map frame
   * @return its slot
   */
  int add(Object type) {
    int slot = next;
    types.add(type);
    next += sizeOf(type);
    return slot;
  }

  /** Adds a variable for a constructor's {@code this}. */
  int addReceiver() {
    return add(RECEIVER);
  }

  /** Returns the number of slots that the method needs. */
  int end() {
    return next;
  }

  /**
   * Adds the variables to a frame of the method.
   *
   * @param receiver type of {@code this} at the frame, if it has an added variable
   */
  void appendTo(List<Object> frame, Object receiver) {
    int slots = 0;
    for (Object type : frame) {
      slots += sizeOf(type);
    }
    for (int slot = slots; slot < first; slot++) {
      frame.add(Opcodes.TOP);
    }
    types.forEach(type -> frame.add(type == RECEIVER ? receiver : type));
  }

  private static int sizeOf(Object type) {
    return type == Opcodes.LONG || type == Opcodes.DOUBLE ? 2 : 1;
  }
}
