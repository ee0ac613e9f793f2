// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Path;
import java.util.Scanner;

/**
 * Runs much of java.base, H2, Guava and Netty, and loads as many of their classes as possible.
 * Arguments: a folder for files, the jars of the libraries. Prints "ready" first. Each command on
 * stdin is answered with some lines and then "done":
 *
 * <ul>
 *   <li>{@code load} loads all classes and prints the number of loaded classes and of failures by
 *       reason
 *   <li>{@code work} runs all work and prints the result of each part in one line
 *   <li>{@code show} makes the second agent, {@link Witness}, record the current state of the
 *       classes
 *   <li>{@code compare} prints how the classes have changed since
 *   <li>{@code exit} exits
 * </ul>
 *
 * <p>With "packages" as the only argument, prints the packages of java.base.
 */
public class Everything {
  interface Work {
    String run(Path folder) throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments[0].equals("packages")) {
      AllClasses.packagesOfJavaBase().forEach(System.out::println);
      return;
    }
    Path folder = Path.of(arguments[0]);
    Scanner commands = new Scanner(System.in);
    System.out.println("ready");
    while (true) {
      switch (commands.nextLine()) {
        case "load":
          AllClasses classes = new AllClasses();
          classes.loadJavaBase();
          for (int i = 1; i < arguments.length; i++) {
            classes.loadJar(Path.of(arguments[i]));
          }
          classes.tell();
          break;
        case "work":
          work("java.base", JavaBaseWork::run, folder);
          work("threads", unused -> String.valueOf(JdkWork.work(20)), folder);
          work("h2", DatabaseWork::run, folder);
          work("guava", unused -> GuavaWork.run(), folder);
          work("netty", unused -> NettyWork.run(), folder);
          work("http", unused -> WebWork.run(), folder);
          work("javac", CompilerWork::run, folder);
          break;
        case "show":
          Witness.takeDown();
          break;
        case "compare":
          Witness.compare();
          break;
        default:
          return;
      }
      System.out.println("done");
    }
  }

  private static void work(String name, Work work, Path folder) throws Exception {
    long begun = System.nanoTime();
    String result = work.run(folder).replace('\n', ' ');
    System.out.println("worked " + name + ": " + result);
    System.out.println("took " + name + ": " + (System.nanoTime() - begun) / 1_000_000 + " ms");
  }
}
