// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.select.Selector;
import io.jprobe.select.Selectors;
import java.util.List;

/** Writes jprobe.v1.Manifest (proto/jprobe/v1/manifest.proto), whose field numbers stand here. */
final class Manifest {
  private static final int LAYOUT_VERSION = 1;

  private Manifest() {}

  static byte[] write(
      String agentVersion, int generation, Selectors selectors, List<TracedClass> classes) {
    ProtoWriter manifest =
        new ProtoWriter().number(1, LAYOUT_VERSION).text(2, agentVersion).number(3, generation);
    for (Selector selector : selectors.each()) {
      manifest.text(4, selector.toString());
    }
    int methods = 0;
    for (TracedClass traced : classes) {
      for (TracedMethod method : traced.methods) {
        manifest.message(5, method(traced, method));
        for (ProbeKind kind : ProbeKind.values()) {
          manifest.message(6, new ProtoWriter().number(1, methods).number(2, kind.number));
        }
        methods++;
      }
    }
    return manifest.toByteArray();
  }

  private static ProtoWriter method(TracedClass traced, TracedMethod method) {
    ProtoWriter message =
        new ProtoWriter()
            .text(1, traced.className())
            .number(2, traced.loaderId)
            .text(3, method.name)
            .text(4, method.descriptor);
    for (CapturedValue argument : method.arguments) {
      message.message(5, value(argument));
    }
    if (method.returned != null) {
      message.message(6, value(method.returned));
    }
    return message;
  }

  private static ProtoWriter value(CapturedValue value) {
    return new ProtoWriter()
        .text(1, value.name)
        .text(2, value.javaType.getClassName())
        .number(3, value.type.number);
  }
}
