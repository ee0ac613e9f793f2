// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import io.jprobe.calls.ApplicationCalls;
import io.jprobe.capture.TypedPath.Step;
import io.jprobe.classfile.ClassFile;
import io.jprobe.classfile.MethodFacts;
import io.jprobe.select.Selector;
import io.jprobe.select.SelectorException;
import java.io.IOException;
import java.io.InputStream;
import java.util.stream.Collectors;

/** Resolves selectors for the methods of {@link Journey}. */
final class Typing {
  private static final ClassLoader LOADER = Typing.class.getClassLoader();

  private Typing() {}

  /** Returns the captures of {@code **Journey#} and the rest for that method. */
  static Captures of(String method, String rest) throws SelectorException {
    return of(Journey.class, method, rest, new ClassFiles(LOADER, new ApplicationCalls()));
  }

  static Captures of(Class<?> type, String method, String rest, ClassFiles files)
      throws SelectorException {
    ClassFile host = file(type);
    for (MethodFacts facts : host.methods) {
      if (facts.name.equals(method)) {
        return Captures.of(Selector.parse("**Journey#" + method + rest), host, facts, files);
      }
    }
    throw new IllegalArgumentException(method);
  }

  private static ClassFile file(Class<?> type) {
    String resource = type.getName().replace('.', '/') + ".class";
    try (InputStream in = LOADER.getResourceAsStream(resource)) {
      return ClassFile.read(in.readAllBytes());
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Returns the path of the only capture. */
  static TypedPath path(String method, String path) throws SelectorException {
    for (ProbeKind kind : ProbeKind.values()) {
      for (CapturedValue value : of(method, "(it=" + path + ")").values(kind)) {
        if (value.isAskedFor) {
          return value.path;
        }
      }
    }
    throw new IllegalArgumentException(path);
  }

  /** Returns the steps, such as "FIELD Traveller.name: java.lang.String", separated by commas. */
  static String steps(String method, String path) throws SelectorException {
    return path(method, path).steps.stream().map(Typing::text).collect(Collectors.joining(", "));
  }

  private static String text(Step step) {
    String owner = step.owner == null ? "" : step.owner.replaceFirst(".*[/$]", "") + ".";
    return step.kind + " " + owner + step.name + ": " + step.type.getClassName();
  }

  /**
   * Checks the error for an invalid selector.
   *
   * @param marked text in the rest at the error's column, or the start of the selector
   */
  static void assertMistake(String method, String rest, String marked, String problem) {
    SelectorException mistake = assertThrows(SelectorException.class, () -> of(method, rest));
    String selector = "**Journey#" + method + rest;
    int rests = selector.length() - rest.length();
    int column = selector.indexOf(marked, selector.startsWith(marked) ? 0 : rests) + 1;
    String told = mistake.getMessage();
    // What the class has instead is compared only where a test states it.
    String compared = problem.contains("; it has ") ? told : told.replaceFirst("; it has .*", "");
    assertEquals("selector '" + selector + "', column " + column + ": " + problem, compared);
  }
}
