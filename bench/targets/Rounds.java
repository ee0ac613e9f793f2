// SPDX-License-Identifier: Apache-2.0

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/**
 * Repeats a fixed amount of work in rounds. Prints the end of each round in milliseconds since the
 * epoch and its duration in nanoseconds. Arguments: "sql" (an in-memory H2) or "many" (calls of
 * 2,000 small methods); warmup rounds; measured rounds: 0 measures until it is killed, and "asked"
 * runs one round for each line on stdin.
 */
public class Rounds {
  static final int STATEMENTS = 4_000;
  static final int CALLS_OF_ALL = 8_000;

  public static void main(String[] arguments) throws Exception {
    boolean sql = arguments[0].equals("sql");
    int warmUp = Integer.parseInt(arguments[1]);
    boolean asked = arguments[2].equals("asked");
    int rounds = asked ? 0 : Integer.parseInt(arguments[2]);
    try (Connection connection = DriverManager.getConnection("jdbc:h2:mem:work")) {
      for (int round = 0; rounds == 0 || round < warmUp + rounds; round++) {
        if (asked && round >= warmUp && System.in.read() < 0) {
          return;
        }
        long start = System.nanoTime();
        if (sql) {
          work(connection);
        } else {
          call();
        }
        long nanos = System.nanoTime() - start;
        if (round >= warmUp) {
          System.out.println(System.currentTimeMillis() + " " + nanos);
        }
        if (round == warmUp - 1) {
          System.out.println("warm");
        }
      }
    }
  }

  static void call() {
    long sum = 0;
    for (int i = 0; i < CALLS_OF_ALL; i++) {
      sum = many.Many.all(sum);
    }
    if (sum == 42) {
      System.out.println();
    }
  }

  static void work(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("drop table if exists orders");
      statement.execute("create table orders(id int primary key, city varchar, amount int)");
      statement.execute("create index by_city on orders(city)");
    }
    long sum = 0;
    for (int i = 0; i < STATEMENTS; i++) {
      try (PreparedStatement insert =
          connection.prepareStatement("insert into orders values(?, ?, ?)")) {
        insert.setInt(1, i);
        insert.setString(2, "city " + i % 101);
        insert.setInt(3, i % 1_000);
        insert.executeUpdate();
      }
      try (PreparedStatement select =
          connection.prepareStatement("select amount from orders where id = ?")) {
        select.setInt(1, i / 2);
        try (ResultSet rows = select.executeQuery()) {
          rows.next();
          sum += rows.getInt(1);
        }
      }
    }
    if (sum == 0) {
      throw new IllegalStateException("no work was done");
    }
  }
}
