import jakarta.persistence.Entity;
import jakarta.persistence.FetchType;
import jakarta.persistence.Id;
import jakarta.persistence.ManyToOne;
import java.util.List;
import java.util.Map;
import org.hibernate.SessionFactory;
import org.hibernate.cfg.Configuration;
import recipes.Commands;

/** Books and their authors, which a loop loads one by one. */
public class Library {
  private static SessionFactory sessions;

  @Entity(name = "Author")
  public static class Author {
    @Id int id;
    String name;
  }

  @Entity(name = "Book")
  public static class Book {
    @Id int id;

    @ManyToOne(fetch = FetchType.LAZY)
    Author author;
  }

  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new Configuration();
    configuration.setProperty("hibernate.connection.url", "jdbc:h2:mem:library;DB_CLOSE_DELAY=-1");
    configuration.setProperty("hibernate.hbm2ddl.auto", "create");
    configuration.setProperty("hibernate.generate_statistics", "true");
    configuration.addAnnotatedClass(Author.class).addAnnotatedClass(Book.class);
    sessions = configuration.buildSessionFactory();
    sessions.inTransaction(
        session -> {
          for (int i = 0; i < 20; i++) {
            Author author = new Author();
            author.id = i;
            author.name = "author " + i;
            session.persist(author);
            Book book = new Book();
            book.id = i;
            book.author = author;
            session.persist(book);
          }
        });
    list(1);
    Commands.serve(Map.of("list", Library::list));
  }

  private static String list(int count) {
    sessions.getStatistics().clear();
    for (int i = 0; i < count; i++) {
      sessions.inTransaction(
          session -> {
            List<Book> books = session.createSelectionQuery("from Book", Book.class).list();
            books.forEach(book -> book.author.getClass());
            books.forEach(book -> org.hibernate.Hibernate.initialize(book.author));
          });
    }
    return "prepareStatementCount=" + sessions.getStatistics().getPrepareStatementCount();
  }
}
