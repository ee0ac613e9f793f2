package recipes;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;

/**
 * Runs the commands that a recipe writes to stdin, and answers each with the program's own figures.
 */
public final class Commands {
  /** Does work, count times, and returns figures such as "requests=211 errors=2". */
  public interface Command {
    String run(int count) throws Exception;
  }

  private Commands() {}

  /** Reads lines "name count" until the end of stdin, and then ends the program. */
  public static void serve(Map<String, Command> commands) throws Exception {
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    System.out.println("ready");
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] words = line.split(" ");
      System.out.println("done " + commands.get(words[0]).run(Integer.parseInt(words[1])));
    }
    System.exit(0);
  }
}
