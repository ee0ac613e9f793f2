// SPDX-License-Identifier: Apache-2.0

import java.math.BigDecimal;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.StringJoiner;

/** Uses H2 in memory and in a file: tables, joins, sums, transactions and failing statements. */
final class DatabaseWork {
  private static final int CUSTOMERS = 50;
  private static final int ORDERS = 1_000;

  private DatabaseWork() {}

  static String run(Path folder) throws Exception {
    String inMemory = in("jdbc:h2:mem:");
    String inFile = in("jdbc:h2:" + folder.resolve("database-" + System.nanoTime()));
    if (!inMemory.equals(inFile)) {
      throw new IllegalStateException(inMemory + " in memory, and in a file " + inFile);
    }
    return inMemory;
  }

  private static String in(String url) throws SQLException {
    try (Connection connection = DriverManager.getConnection(url, "sa", "");
        Statement statement = connection.createStatement()) {
      fill(connection, statement);
      StringJoiner said = new StringJoiner("; ");
      said.add(query(statement, "select count(*), sum(amount), max(placed) from orders"));
      expect(said.toString(), "1000|4995.00|2024-02-19");
      said.add(
          query(
              statement,
              "select c.name, count(*), avg(o.amount) from customers c join orders o"
                  + " on o.customer = c.id where o.amount > 3 group by c.name having count(*) > 9"
                  + " order by 3 desc, 1 limit 5"));
      said.add(
          query(
              statement,
              "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20)"
                  + " select sum(i), listagg(i, ',') within group (order by i desc) from n"));
      said.add(
          query(
              statement,
              "select id, row_number() over (partition by customer order by amount desc, id) r,"
                  + " upper(substring(note, 1, 4)), regexp_replace(note, '[0-9]+', '#')"
                  + " from orders where id between 100 and 110 order by id"));
      said.add(fail(statement, "select nothing from nowhere"));
      said.add(fail(statement, "insert into customers values(1, 'twice')"));
      said.add(rolledBack(connection, statement));
      said.add(
          query(
              statement,
              "select count(*) from information_schema.tables where table_name='ORDERS'"));
      return said.toString();
    }
  }

  private static void fill(Connection connection, Statement statement) throws SQLException {
    statement.execute("create table customers(id int primary key, name varchar(40) not null)");
    statement.execute(
        "create table orders(id int primary key, customer int references customers(id),"
            + " amount decimal(10, 2), placed date, note clob)");
    statement.execute("create index by_customer on orders(customer, amount)");
    try (PreparedStatement insert =
        connection.prepareStatement("insert into customers values(?, ?)")) {
      for (int i = 0; i < CUSTOMERS; i++) {
        insert.setInt(1, i);
        insert.setString(2, "Rīga " + i * 31 % CUSTOMERS);
        insert.addBatch();
      }
      insert.executeBatch();
    }
    try (PreparedStatement insert =
        connection.prepareStatement(
            "insert into orders values(?, ?, ?, dateadd(day, ?, date '2024-01-01'), ?)")) {
      for (int i = 0; i < ORDERS; i++) {
        insert.setInt(1, i);
        insert.setInt(2, i * 7 % CUSTOMERS);
        insert.setBigDecimal(3, BigDecimal.valueOf(i, 2));
        insert.setInt(4, i % 50);
        insert.setString(5, "note " + i);
        insert.executeUpdate();
      }
    }
  }

  private static String query(Statement statement, String sql) throws SQLException {
    StringJoiner rows = new StringJoiner(" ");
    try (ResultSet result = statement.executeQuery(sql)) {
      while (result.next()) {
        StringJoiner row = new StringJoiner("|");
        for (int i = 1; i <= result.getMetaData().getColumnCount(); i++) {
          row.add(result.getString(i));
        }
        rows.add(row.toString());
      }
    }
    return rows.toString();
  }

  private static String fail(Statement statement, String sql) {
    try {
      statement.execute(sql);
      throw new IllegalStateException("did not fail: " + sql);
    } catch (SQLException expected) {
      return expected.getSQLState();
    }
  }

  private static String rolledBack(Connection connection, Statement statement) throws SQLException {
    connection.setAutoCommit(false);
    int updated = statement.executeUpdate("update orders set amount = amount + 1 where id < 500");
    connection.rollback();
    connection.setAutoCommit(true);
    String sum = query(statement, "select sum(amount) from orders");
    expect(sum, "4995.00");
    return updated + " updated, " + sum;
  }

  private static void expect(String got, String wanted) {
    if (!got.equals(wanted)) {
      throw new IllegalStateException("expected " + wanted + ", got " + got);
    }
  }
}
