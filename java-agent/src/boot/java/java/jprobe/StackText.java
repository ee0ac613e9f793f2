// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;

/**
 * Describes stacks: one line for each frame. This runs code of the JDK that can be traced, so the
 * thread is registered as evaluating a path meanwhile: none of its calls fires.
 */
final class StackText {
  private static final String OWN = "java.jprobe.";

  private StackText() {}

  /** Runs the code once, so that a traced thread loads no classes of the JDK. */
  static void prepare() {
    linesOf(Stacks.walk().getStackTrace(), 0, 1);
  }

  /**
   * Describes the frames of a stack from {@code begin} to before {@code end}.
   *
   * @param trace null to walk the stack of this thread, from its first frame that is not of this
   *     package
   * @return its ID; 0 if there is no room, or if the thread is evaluating a path already
   */
  static long describe(int generation, Throwable trace, int begin, int end, boolean isCut) {
    long[] evaluating = PathEvaluation.EVALUATING;
    int slot = PathEvaluation.beginEvaluation();
    if (slot == 0) {
      Fire.loseStack();
      return 0;
    }
    try {
      if (trace == null) {
        return describeWalked(generation, end);
      }
      byte[] lines = linesOf(trace.getStackTrace(), begin, end);
      return Fire.describe(generation, lines, isCut);
    } finally {
      evaluating[slot] = 0;
    }
  }

  private static long describeWalked(int generation, int most) {
    Walked walked = new Walked(most);
    StackWalker.getInstance().forEach(walked);
    return Fire.describe(generation, linesOf(walked.frames, 0, walked.count), walked.isCut);
  }

  /** Keeps the first frames. */
  private static final class Walked implements Consumer<StackWalker.StackFrame> {
    final StackTraceElement[] frames;
    int count;
    boolean isCut;

    Walked(int most) {
      frames = new StackTraceElement[most];
    }

    @Override
    public void accept(StackWalker.StackFrame frame) {
      if (count == 0 && frame.getClassName().startsWith(OWN)) {
        return;
      }
      if (count == frames.length) {
        isCut = true;
      } else {
        frames[count++] = frame.toStackTraceElement();
      }
    }
  }

  private static byte[] linesOf(StackTraceElement[] frames, int begin, int end) {
    StringBuilder lines = new StringBuilder(64 * (end - begin));
    for (int i = begin; i < Math.min(end, frames.length); i++) {
      int start = lines.length();
      append(lines, frames[i]);
      for (int at = start; at < lines.length(); at++) {
        if (lines.charAt(at) == '\n') {
          // The name of a class may have any character.
          lines.setCharAt(at, ' ');
        }
      }
      lines.append('\n');
    }
    return lines.toString().getBytes(StandardCharsets.UTF_8);
  }

  private static void append(StringBuilder lines, StackTraceElement frame) {
    lines.append(frame.getClassName()).append('.').append(frame.getMethodName()).append('(');
    if (frame.isNativeMethod()) {
      lines.append("Native Method");
    } else if (frame.getFileName() == null) {
      lines.append("Unknown Source");
    } else {
      lines.append(frame.getFileName());
      if (frame.getLineNumber() >= 0) {
        lines.append(':').append(frame.getLineNumber());
      }
    }
    lines.append(')');
  }
}
