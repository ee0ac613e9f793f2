import java.lang.reflect.Method;

/** Calls the 2,000 methods of the generated program, a few hundred times per second. */
public class Scraped {
  static volatile long sink;

  public static void main(String[] arguments) throws Exception {
    Method all = Class.forName("many.Many").getMethod("all", long.class);
    System.out.println("ready");
    for (long i = 0; ; i++) {
      sink = (Long) all.invoke(null, i);
      Thread.sleep(5);
    }
  }
}
