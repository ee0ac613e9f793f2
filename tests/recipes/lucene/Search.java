import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.lucene.analysis.standard.StandardAnalyzer;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.StringField;
import org.apache.lucene.document.TextField;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.PrefixQuery;
import org.apache.lucene.search.Query;
import org.apache.lucene.search.TermQuery;
import org.apache.lucene.store.FSDirectory;
import recipes.Commands;

/** Indexes and searches texts of numbers. */
public class Search {
  private static IndexWriter writer;

  public static void main(String[] arguments) throws Exception {
    Path folder = Files.createTempDirectory("recipes-lucene-");
    IndexWriterConfig config = new IndexWriterConfig(new StandardAnalyzer());
    config.setMaxBufferedDocs(100);
    config.setRAMBufferSizeMB(IndexWriterConfig.DISABLE_AUTO_FLUSH);
    writer = new IndexWriter(FSDirectory.open(folder), config);
    index(10);
    search(2);
    Commands.serve(
        Map.of("index", Search::index, "commits", Search::commits, "search", Search::search));
  }

  private static String index(int count) throws Exception {
    int before = writer.getDocStats().maxDoc;
    for (int i = 0; i < count; i++) {
      Document document = new Document();
      document.add(new StringField("id", "" + i, Field.Store.YES));
      document.add(new TextField("text", text(i), Field.Store.NO));
      writer.addDocument(document);
    }
    return "maxDoc=" + (writer.getDocStats().maxDoc - before);
  }

  private static String commits(int count) throws Exception {
    for (int i = 0; i < count; i++) {
      index(100);
      writer.commit();
    }
    return "commits=" + count;
  }

  private static String search(int count) throws Exception {
    long hits = 0;
    try (DirectoryReader reader = DirectoryReader.open(writer)) {
      IndexSearcher searcher = new IndexSearcher(reader);
      for (int i = 0; i < count; i++) {
        Query rare = new TermQuery(new Term("text", "w" + i));
        hits += searcher.search(rare, 10).totalHits.value;
        if (i % 50 == 0) {
          hits += searcher.search(new PrefixQuery(new Term("text", "w")), 1000).totalHits.value;
        }
      }
    }
    return "searches=" + (count + (count + 49) / 50) + " hits=" + hits;
  }

  private static String text(int number) {
    StringBuilder text = new StringBuilder();
    for (int word = 0; word < 40; word++) {
      text.append('w').append((number + 1) * (word + 1) % 9973).append(' ');
    }
    return text.toString();
  }
}
