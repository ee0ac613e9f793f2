// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Path;
import java.util.Scanner;

/**
 * Runs much of java.base, of H2, Guava and Netty, and has as many of their classes loaded as can
 * be. Arguments: a folder for files, the jars of the libraries. "ready" is printed first. Each
 * command on stdin is answered by some lines and then by "done":
 *
 * <ul>
 *   <li>{@code load} loads all classes and tells how many, and how many not for which reason
 *   <li>{@code work} runs everything, and prints a line for each piece of work with its result
 *   <li>{@code show} has the second agent, {@link Witness}, take down what the classes are now
 *   <li>{@code compare} tells what they are since
 *   <li>{@code exit} ends
 * </ul>
 *
 * <p>With "packages" as its only argument it prints the packages of java.base.
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
