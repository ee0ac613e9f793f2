// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stapsdt.ArgumentType;
import io.jprobe.stapsdt.ProbeDefinition;
import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.Type;

/** A selected method and the place of its three probes in its stub library. */
public final class TracedMethod {
  /** The Java thread id takes the last of the probe's arguments. */
  private static final int MAX_CAPTURED = ProbeDefinition.MAX_ARGUMENTS - 1;

  public final String name;
  public final String descriptor;

  /** What the entry probe passes: the arguments in order, as many as a probe can take. */
  public final List<CapturedValue> arguments;

  /** Null for void. */
  public final CapturedValue returned;

  final String probeName;

  /** Slot of the entry probe; those of return and throw follow. */
  final int firstSlot;

  private final boolean isStatic;

  TracedMethod(MethodFacts facts, String probeName, int firstSlot) {
    this.name = facts.name;
    this.descriptor = facts.descriptor;
    this.isStatic = facts.isStatic();
    this.probeName = probeName;
    this.firstSlot = firstSlot;
    this.arguments = captured(facts);
    Type type = Type.getReturnType(facts.descriptor);
    this.returned = type.getSort() == Type.VOID ? null : new CapturedValue("return", type);
  }

  private static List<CapturedValue> captured(MethodFacts facts) {
    Type[] types = facts.argumentTypes();
    List<CapturedValue> values = new ArrayList<>();
    for (int i = 0; i < Math.min(types.length, MAX_CAPTURED); i++) {
      values.add(new CapturedValue(facts.argumentName(i), types[i]));
    }
    return List.copyOf(values);
  }

  int slot(ProbeKind kind) {
    return firstSlot + kind.ordinal();
  }

  public boolean isConstructor() {
    return name.equals("<init>");
  }

  /** Index of the first argument among the method's local variables. */
  public int firstArgumentLocal() {
    return isStatic ? 0 : 1;
  }

  /** The probes as notes describe them, in slot order. */
  List<ProbeDefinition> definitions(String provider) {
    List<ArgumentType> entry = new ArrayList<>();
    for (CapturedValue argument : arguments) {
      entry.add(argument.type.argumentType);
    }
    entry.add(ArgumentType.INT64);
    ArgumentType value = returned == null ? ArgumentType.INT64 : returned.type.argumentType;
    return List.of(
        definition(provider, ProbeKind.ENTRY, entry),
        definition(
            provider,
            ProbeKind.RETURN,
            List.of(ArgumentType.INT64, value, ArgumentType.INT64)),
        definition(
            provider,
            ProbeKind.THROW,
            List.of(ArgumentType.INT64, ArgumentType.UINT64, ArgumentType.INT64)));
  }

  private ProbeDefinition definition(String provider, ProbeKind kind, List<ArgumentType> types) {
    return new ProbeDefinition(provider, probeName + "__" + kind.suffix, types);
  }

  @Override
  public String toString() {
    return name + descriptor;
  }
}
