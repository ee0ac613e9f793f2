// SPDX-License-Identifier: Apache-2.0
package io.jprobe.weave;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.objectweb.asm.Label;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.FrameNode;
import org.objectweb.asm.tree.LabelNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;
import org.objectweb.asm.tree.analysis.Analyzer;
import org.objectweb.asm.tree.analysis.AnalyzerException;
import org.objectweb.asm.tree.analysis.BasicInterpreter;
import org.objectweb.asm.tree.analysis.BasicValue;
import org.objectweb.asm.tree.analysis.Frame;
import org.objectweb.asm.tree.analysis.Interpreter;

/**
 * Determines where in a constructor {@code this} is initialized for the verifier (JVMS 4.10.1.9,
 * invokespecial). {@link MethodShape} suffices for most constructors. This class handles those that
 * branch before super(), call it in several places, or whose code is not in execution order.
 */
final class Construction {
  /** State of {@code this} at an instruction. */
  private enum State {
    UNINITIALIZED,
    INITIALIZED,
    /** Depends on the path of execution. */
    MIXED
  }

  /** A range of the code. */
  static final class Part {
    final Label from;
    final Label to;

    Part(Label from, Label to) {
      this.from = from;
      this.to = to;
    }
  }

  private final List<Part> before = new ArrayList<>();
  private final List<Part> after = new ArrayList<>();

  private Construction() {}

  /**
   * Ranges of code that execute with {@code this} initialized or uninitialized, without the calls
   * of super() and this().
   */
  List<Part> parts(boolean isInitialized) {
    return isInitialized ? after : before;
  }

  /** Analyzes the constructor and adds labels at the ends of its ranges. */
  static Construction of(String className, MethodNode method) throws AnalyzerException {
    Frame<BasicValue>[] frames = new Analysis().analyze(className, method);
    AbstractInsnNode[] instructions = method.instructions.toArray();
    // The verifier uses the frames; without frames it infers types as this class does.
    boolean hasFrames = Arrays.stream(instructions).anyMatch(FrameNode.class::isInstance);
    Construction construction = new Construction();
    LabelNode from = null;
    State last = null;
    State declared = State.UNINITIALIZED;
    for (int i = 0; i < instructions.length; i++) {
      AbstractInsnNode instruction = instructions[i];
      KnowingFrame known = (KnowingFrame) frames[i];
      if (instruction instanceof FrameNode) {
        declared = declares((FrameNode) instruction);
      }
      if (instruction.getOpcode() < 0) {
        continue;
      }
      boolean initializes = known != null && known.isInitializedBy(instruction);
      State state = null;
      if (known != null && !initializes) {
        state = hasFrames ? declared : known.state;
      }
      if (state != last) {
        construction.add(last, from, method, instruction);
        from = labelBefore(method, instruction);
        last = state;
      }
      declared = initializes ? State.INITIALIZED : declared;
    }
    construction.add(last, from, method, null);
    return construction;
  }

  /**
   * Adds the range that ends here.
   *
   * @param state null to leave the range uncovered
   */
  private void add(State state, LabelNode from, MethodNode method, AbstractInsnNode next) {
    if (state == State.INITIALIZED || state == State.UNINITIALIZED) {
      Part part = new Part(from.getLabel(), labelBefore(method, next).getLabel());
      parts(state == State.INITIALIZED).add(part);
    }
  }

  private static State declares(FrameNode frame) {
    return frame.local.contains(Opcodes.UNINITIALIZED_THIS)
        ? State.UNINITIALIZED
        : State.INITIALIZED;
  }

  /**
   * @param instruction null at the end of the code
   */
  private static LabelNode labelBefore(MethodNode method, AbstractInsnNode instruction) {
    LabelNode label = new LabelNode();
    if (instruction == null) {
      method.instructions.add(label);
    } else {
      method.instructions.insertBefore(instruction, label);
    }
    return label;
  }

  /** Tracks {@code this} and no other value. */
  private static final class Analysis extends Analyzer<BasicValue> {
    Analysis() {
      super(new ReceiverInterpreter());
    }

    @Override
    protected Frame<BasicValue> newFrame(int locals, int stack) {
      return new KnowingFrame(locals, stack);
    }

    @Override
    protected Frame<BasicValue> newFrame(Frame<? extends BasicValue> frame) {
      return new KnowingFrame(frame);
    }
  }

  private static final class ReceiverInterpreter extends BasicInterpreter {
    /** Has a unique type, so that it equals only itself. */
    static final BasicValue UNINITIALIZED_THIS =
        new BasicValue(Type.getObjectType("uninitializedThis"));

    ReceiverInterpreter() {
      super(Opcodes.ASM9);
    }

    @Override
    public BasicValue newParameterValue(boolean isInstanceMethod, int local, Type type) {
      return local == 0 ? UNINITIALIZED_THIS : super.newParameterValue(true, local, type);
    }
  }

  private static final class KnowingFrame extends Frame<BasicValue> {
    private State state;

    KnowingFrame(int locals, int stack) {
      super(locals, stack);
      state = State.UNINITIALIZED;
    }

    KnowingFrame(Frame<? extends BasicValue> frame) {
      super(frame);
    }

    @Override
    public Frame<BasicValue> init(Frame<? extends BasicValue> frame) {
      state = ((KnowingFrame) frame).state;
      return super.init(frame);
    }

    /** Returns true if the instruction calls super() or this() on {@code this}. */
    boolean isInitializedBy(AbstractInsnNode instruction) {
      if (instruction.getOpcode() != Opcodes.INVOKESPECIAL) {
        return false;
      }
      MethodInsnNode call = (MethodInsnNode) instruction;
      int arguments = Type.getArgumentTypes(call.desc).length;
      return call.name.equals("<init>")
          && getStack(getStackSize() - 1 - arguments) == ReceiverInterpreter.UNINITIALIZED_THIS;
    }

    @Override
    public void execute(AbstractInsnNode instruction, Interpreter<BasicValue> interpreter)
        throws AnalyzerException {
      boolean initializes = isInitializedBy(instruction);
      super.execute(instruction, interpreter);
      if (!initializes) {
        return;
      }
      state = State.INITIALIZED;
      for (int i = 0; i < getLocals(); i++) {
        if (getLocal(i) == ReceiverInterpreter.UNINITIALIZED_THIS) {
          setLocal(i, BasicValue.REFERENCE_VALUE);
        }
      }
      for (int i = 0; i < getStackSize(); i++) {
        if (getStack(i) == ReceiverInterpreter.UNINITIALIZED_THIS) {
          setStack(i, BasicValue.REFERENCE_VALUE);
        }
      }
    }

    @Override
    public boolean merge(Frame<? extends BasicValue> frame, Interpreter<BasicValue> interpreter)
        throws AnalyzerException {
      boolean isOther = state != ((KnowingFrame) frame).state && state != State.MIXED;
      state = isOther ? State.MIXED : state;
      return super.merge(frame, interpreter) || isOther;
    }
  }
}
