import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.LoadingCache;
import com.github.benmanes.caffeine.cache.stats.CacheStats;
import java.util.Map;
import recipes.Commands;

/** A cache of 100 prices, asked for more. */
public class Prices {
  private static final LoadingCache<Integer, Long> CACHE =
      Caffeine.newBuilder()
          .maximumSize(100)
          .executor(Runnable::run)
          .recordStats()
          .build(Prices::load);

  public static void main(String[] arguments) throws Exception {
    lookups(10);
    Commands.serve(Map.of("lookups", Prices::lookups));
  }

  static Long load(Integer product) {
    return product * 100L;
  }

  static Long price(Integer product) {
    return CACHE.get(product);
  }

  private static String lookups(int count) {
    CacheStats before = CACHE.stats();
    for (int i = 0; i < count; i++) {
      price(i * i % 211);
    }
    CacheStats now = CACHE.stats().minus(before);
    return "hitCount=" + now.hitCount() + " missCount=" + now.missCount();
  }
}
