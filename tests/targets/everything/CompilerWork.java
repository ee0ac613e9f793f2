// SPDX-License-Identifier: Apache-2.0

import java.io.StringWriter;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.tools.JavaCompiler;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/**
 * Compiles classes with javac in this process and runs them. Also compiles a class that has an
 * error.
 */
final class CompilerWork {
  private static final int CLASSES = 12;

  private CompilerWork() {}

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String name, String text) {
      super(URI.create("string:///" + name + ".java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreErrors) {
      return text;
    }
  }

  /** Returns the result, or a message if the runtime has no compiler. */
  static String run(Path folder) throws Exception {
    if (ModuleLayer.boot().findModule("jdk.compiler").isEmpty()) {
      return "no compiler in this runtime";
    }
    Path output = Files.createTempDirectory(folder, "compiled");
    List<Source> sources = new ArrayList<>();
    for (int i = 0; i < CLASSES; i++) {
      sources.add(new Source("Part" + i, part(i)));
    }
    String problems = compile(output, sources, true);
    if (!problems.isEmpty()) {
      throw new IllegalStateException(problems);
    }
    String broken =
        compile(output, List.of(new Source("Bad", "class Bad { int x = \"x\"; }")), false);
    try (URLClassLoader loader =
        new URLClassLoader(
            new URL[] {output.toUri().toURL()}, CompilerWork.class.getClassLoader())) {
      Object result = loader.loadClass("Part0").getMethod("run", int.class).invoke(null, 10);
      return result + ", " + broken.replaceAll("\\s+", " ");
    }
  }

  private static String compile(Path output, List<Source> sources, boolean expected) {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    StringWriter said = new StringWriter();
    List<String> options = List.of("--release", "17", "-g", "-d", output.toString());
    boolean done = compiler.getTask(said, null, null, options, null, sources).call();
    if (done != expected) {
      throw new IllegalStateException("compiled: " + done + ", " + said);
    }
    return said.toString();
  }

  private static String part(int i) {
    String next = i + 1 < CLASSES ? "Part" + (i + 1) + ".run(n - 1)" : "\"end\"";
    return String.join(
        "\n",
        "import java.util.*;",
        "import java.util.stream.*;",
        "public class Part" + i + " {",
        "  record Pair<A extends Comparable<A>, B>(A first, B second) {}",
        "  enum Size { SMALL, LARGE { @Override int weight() { return 9; } };",
        "    int weight() { return 1; } }",
        "  sealed interface Shape permits Square, Circle {}",
        "  record Square(int side) implements Shape {}",
        "  record Circle(double radius) implements Shape {}",
        "  static double area(Shape shape) {",
        "    if (shape instanceof Square square) { return square.side() * square.side(); }",
        "    return shape instanceof Circle c ? Math.PI * c.radius() * c.radius() : 0;",
        "  }",
        "  public static String run(int n) {",
        "    List<Pair<Integer, String>> pairs = IntStream.range(0, 20)",
        "        .mapToObj(k -> new Pair<>(k * 7 % 11, \"p\" + k)).collect(Collectors.toList());",
        "    Map<Integer, List<String>> grouped = pairs.stream().collect(Collectors.groupingBy(",
        "        Pair::first, TreeMap::new, Collectors.mapping(Pair::second,"
            + " Collectors.toList())));",
        "    int weight = switch (n % 3) { case 0 -> Size.SMALL.weight(); case 1 ->"
            + " Size.LARGE.weight();",
        "      default -> { try { yield Integer.parseInt(\"x\"); }",
        "        catch (NumberFormatException e) { yield 3; } } };",
        "    String text = \"\"\"",
        "        block of text %d",
        "        \"\"\".formatted(n);",
        "    return grouped.get(3) + \" \" + weight + \" \" + text.strip() + \" \"",
        "        + Math.round(area(new Square(n)) + area(new Circle(1))) + \" \" + " + next + ";",
        "  }",
        "}");
  }
}
