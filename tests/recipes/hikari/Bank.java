import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import com.zaxxer.hikari.metrics.IMetricsTracker;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import recipes.Commands;

/** Accounts in an H2 database, behind a pool of two connections. */
public class Bank {
  private static final int THREADS = 4;
  private static final AtomicInteger ACQUIRED = new AtomicInteger();
  private static final ReentrantLock BOOKS = new ReentrantLock();
  private static final AtomicInteger WAITED = new AtomicInteger();
  private static final String UPDATE =
      "update accounts set amount = amount - ? where owner = ? and id > 0";

  private static HikariDataSource pool;

  public static void main(String[] arguments) throws Exception {
    HikariConfig config = new HikariConfig();
    config.setJdbcUrl("jdbc:h2:mem:bank");
    config.setMaximumPoolSize(2);
    config.setMetricsTrackerFactory(
        (name, statistics) ->
            new IMetricsTracker() {
              @Override
              public void recordConnectionAcquiredNanos(long nanos) {
                ACQUIRED.incrementAndGet();
              }
            });
    pool = new HikariDataSource(config);
    try (Connection connection = pool.getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute("set query_statistics true");
      statement.execute("create table accounts(id int primary key, owner varchar, amount int)");
      statement.execute(
          "insert into accounts select x, 'owner ' || x, 100 from system_range(1, 1000)");
    }
    transfers(10);
    Commands.serve(
        Map.of(
            "queries", Bank::queries,
            "transfers", Bank::transfers,
            "duplicates", Bank::duplicates,
            "balances", Bank::balances));
  }

  private static String queries(int count) throws Exception {
    int before = ACQUIRED.get();
    ExecutorService threads = Executors.newFixedThreadPool(THREADS);
    for (int i = 0; i < count; i++) {
      int id = i;
      threads.submit(() -> query(id));
    }
    threads.shutdown();
    threads.awaitTermination(1, TimeUnit.MINUTES);
    return "acquired=" + (ACQUIRED.get() - before);
  }

  private static Void query(int id) throws Exception {
    try (Connection connection = pool.getConnection();
        PreparedStatement select =
            connection.prepareStatement("select amount from accounts where id = ?")) {
      select.setInt(1, id);
      select.executeQuery().next();
      Thread.sleep(10);
    }
    return null;
  }

  private static String transfers(int count) throws Exception {
    int updated = 0;
    int large = 0;
    int before = executions(UPDATE);
    for (int i = 1; i <= count; i++) {
      try (Connection connection = pool.getConnection();
          PreparedStatement update = connection.prepareStatement(UPDATE)) {
        update.setInt(1, 10 * i);
        update.setString(2, "owner " + i);
        updated += update.executeUpdate();
        large += i > 30 ? 1 : 0;
      }
    }
    int executed = executions(UPDATE) - before;
    return "updated=" + updated + " executions=" + executed + " large=" + large;
  }

  /** Returns how often H2 has executed a statement, by its own statistics. */
  private static int executions(String sql) throws Exception {
    try (Connection connection = pool.getConnection();
        Statement select = connection.createStatement()) {
      ResultSet row =
          select.executeQuery(
              "select sum(execution_count) from information_schema.query_statistics"
                  + (" where sql_statement = '" + sql + "'"));
      row.next();
      return row.getInt(1);
    }
  }

  private static String duplicates(int count) throws Exception {
    int rejected = 0;
    for (int i = 0; i < count; i++) {
      try (Connection connection = pool.getConnection();
          PreparedStatement insert =
              connection.prepareStatement("insert into accounts values(?, 'new', 0)")) {
        insert.setInt(1, i * 100);
        insert.executeUpdate();
      } catch (SQLException e) {
        rejected++;
      }
    }
    return "rejected=" + rejected;
  }

  /** Threads that hold one lock for 20 ms each, and count how often they have waited for it. */
  private static String balances(int count) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(THREADS);
    for (int i = 0; i < count; i++) {
      threads.submit(() -> balance());
    }
    threads.shutdown();
    threads.awaitTermination(1, TimeUnit.MINUTES);
    return "waited=" + WAITED.getAndSet(0);
  }

  private static Void balance() throws Exception {
    long begin = System.nanoTime();
    BOOKS.lock();
    WAITED.addAndGet(System.nanoTime() - begin > 5_000_000 ? 1 : 0);
    try {
      Thread.sleep(20);
    } finally {
      BOOKS.unlock();
    }
    return null;
  }
}
