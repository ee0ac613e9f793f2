// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * Methods, some of which {@link SpoilingAgent} breaks once they are woven. Commands on stdin, one
 * per line: {@code run} calls each method seven times and prints the sum of the results; {@code
 * exit} exits.
 */
public class Spoilt {
  static int sink(int value) {
    return value & 1;
  }

  /** The traced methods. */
  static class Methods {
    static int one() {
      return 1;
    }

    static int two() {
      return 2;
    }

    static int spoilt() {
      return sink(SpoilingAgent.MARK) + 3;
    }

    static int four() {
      return 4;
    }

    static int five() {
      return 5;
    }

    static int spoiltToo(int value) {
      return sink(SpoilingAgent.MARK) + value;
    }

    static int seven() {
      return 7;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Methods.one();
    System.out.println("ready");
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String command = ""; !"exit".equals(command); command = commands.readLine()) {
      if (command.equals("run")) {
        int sum = 0;
        for (int i = 0; i < 7; i++) {
          sum += Methods.one() + Methods.two() + Methods.spoilt() + Methods.four();
          sum += Methods.five() + Methods.spoiltToo(6) + Methods.seven();
        }
        System.out.println("sum " + sum);
      }
    }
  }
}
