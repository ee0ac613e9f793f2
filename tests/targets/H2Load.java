// SPDX-License-Identifier: Apache-2.0

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.concurrent.locks.LockSupport;

/**
 * Puts a steady load on an H2 server over JDBC: inserts, updates, looks up and sums orders, and
 * occasionally executes a statement that fails. Arguments: JDBC URL, statements per second,
 * seconds. Without seconds it runs until a line arrives on stdin. Prints "loading" once the tables
 * exist.
 */
public class H2Load {
  public static void main(String[] arguments) throws Exception {
    String url = arguments[0];
    long nanosBetween = 1_000_000_000L / Long.parseLong(arguments[1]);
    long begun = System.nanoTime();
    long nanos = arguments.length > 2 ? 1_000_000_000L * Long.parseLong(arguments[2]) : 0;
    try (Connection connection = DriverManager.getConnection(url, "sa", "");
        Statement statement = connection.createStatement()) {
      statement.execute(
          "create table if not exists orders(id bigint auto_increment primary key,"
              + " customer int, city varchar(40), amount decimal(10, 2), paid boolean)");
      statement.execute("create index if not exists by_customer on orders(customer)");
      System.out.println("loading");
      long next = System.nanoTime();
      for (int i = 0;
          nanos > 0 ? System.nanoTime() - begun < nanos : System.in.available() == 0;
          i++) {
        work(connection, statement, i);
        next += nanosBetween;
        LockSupport.parkNanos(next - System.nanoTime());
      }
    }
  }

  static void work(Connection connection, Statement statement, int i) throws SQLException {
    switch (i % 5) {
      case 0:
      case 1:
        try (PreparedStatement insert =
            connection.prepareStatement(
                "insert into orders(customer, city, amount, paid) values(?, ?, ?, false)")) {
          insert.setInt(1, i % 997);
          insert.setString(2, i % 3 == 0 ? "Rīga" : "Lyon");
          insert.setBigDecimal(3, java.math.BigDecimal.valueOf(i % 10_000, 2));
          insert.executeUpdate();
        }
        break;
      case 2:
        read(statement, "select id, amount from orders where customer = " + i % 997);
        break;
      case 3:
        statement.executeUpdate("update orders set paid = true where id = " + i);
        break;
      default:
        if (i % 50 == 4) {
          fail(statement);
        } else {
          read(statement, "select city, sum(amount) from orders where customer < 20 group by city");
        }
    }
  }

  static void read(Statement statement, String sql) throws SQLException {
    try (ResultSet rows = statement.executeQuery(sql)) {
      while (rows.next()) {
        rows.getString(1);
      }
    }
  }

  static void fail(Statement statement) {
    try {
      statement.execute("select nothing from nowhere");
      throw new IllegalStateException("a statement that must fail did not");
    } catch (SQLException expected) {
      // Expected: the load includes errors.
    }
  }
}
