// SPDX-License-Identifier: Apache-2.0

import com.acme.depot.Depot;

/** A class on the class path. Visits a depot for each line on stdin and prints the result. */
public class Visitor {
  static int visit(Depot depot) {
    return 42;
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("ready");
    while (System.in.read() == '\n') {
      System.out.println("visited " + visit(new Depot()));
    }
  }
}
