// SPDX-License-Identifier: Apache-2.0

import com.acme.depot.Depot;

/** Of the class path: visits a depot for each line on stdin, and says what it got. */
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
