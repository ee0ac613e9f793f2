// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import java.util.Arrays;
import java.util.stream.Collectors;
import org.objectweb.asm.Type;

/** Writes methods as selectors do: "place(long,String)". */
public final class Signatures {
  private Signatures() {}

  public static String of(String method, String descriptor) {
    return Arrays.stream(Type.getArgumentTypes(descriptor))
        .map(type -> simple(type.getClassName()))
        .collect(Collectors.joining(",", method + "(", ")"));
  }

  /** Returns the name without the package. */
  public static String simple(String className) {
    return className.substring(className.lastIndexOf('.') + 1);
  }
}
