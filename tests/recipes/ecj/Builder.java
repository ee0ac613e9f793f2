import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.eclipse.jdt.core.compiler.batch.BatchCompiler;
import recipes.Commands;

/**
 * A build server: compiles classes with Eclipse's compiler, one of them with a difficult
 * expression.
 */
public class Builder {
  private static final int DEPTH = 9;

  public static void main(String[] arguments) throws Exception {
    build(2);
    Commands.serve(Map.of("build", Builder::build));
  }

  private static String build(int count) throws Exception {
    Path folder = Files.createTempDirectory("sources-");
    for (int i = 0; i < count; i++) {
      String value = "" + i;
      if (i == count / 2) {
        value = "java.util.List.of(".repeat(DEPTH) + "1, 2L, 3.0" + ")".repeat(DEPTH);
      }
      String name = i == count / 2 ? "Difficult" : "Class" + i;
      String text = "class " + name + " { Object value() { return " + value + "; } }";
      Files.writeString(folder.resolve(name + ".java"), text);
    }
    PrintWriter output = new PrintWriter(System.err);
    BatchCompiler.compile("--release 17 -d " + folder + " " + folder, output, output, null);
    try (Stream<Path> files = Files.list(folder)) {
      return "classes=" + files.filter(file -> file.toString().endsWith(".class")).count();
    }
  }
}
