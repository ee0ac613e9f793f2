import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.StatisticsHandler;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.thread.MonitoredQueuedThreadPool;
import recipes.Commands;

/** A Jetty server with few threads. */
public class Tasks {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();
  private static final StatisticsHandler STATISTICS = new StatisticsHandler();
  private static final MonitoredQueuedThreadPool THREADS = new MonitoredQueuedThreadPool(6);

  private static URI address;

  public static void main(String[] arguments) throws Exception {
    Server server = new Server(THREADS);
    ServerConnector connector = new ServerConnector(server, 1, 1);
    connector.setHost("127.0.0.1");
    server.addConnector(connector);
    STATISTICS.setHandler(
        new Handler.Abstract() {
          @Override
          public boolean handle(Request request, Response response, Callback callback)
              throws Exception {
            Thread.sleep(5);
            response.setStatus(request.getHttpURI().getPath().endsWith("7") ? 503 : 200);
            callback.succeeded();
            return true;
          }
        });
    server.setHandler(STATISTICS);
    server.start();
    address = URI.create("http://127.0.0.1:" + connector.getLocalPort());
    burst(3);
    Commands.serve(Map.of("burst", Tasks::burst));
  }

  private static String burst(int count) throws Exception {
    awaitTasks();
    STATISTICS.reset();
    THREADS.reset();
    List<CompletableFuture<?>> answers = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      HttpRequest request = HttpRequest.newBuilder(address.resolve("/tasks/" + i)).build();
      answers.add(CLIENT.sendAsync(request, HttpResponse.BodyHandlers.discarding()));
    }
    CompletableFuture.allOf(answers.toArray(new CompletableFuture<?>[0])).join();
    awaitTasks();
    return "responses=" + STATISTICS.getResponses5xx() + " tasks=" + THREADS.getTasks();
  }

  /** Waits until the pool has counted its last task: it does that after a task has ended. */
  private static void awaitTasks() throws Exception {
    long before = -1;
    // On a busy machine, a thread may pause between the two.
    for (int unchanged = 0; unchanged < 10; unchanged++) {
      if (before != THREADS.getTasks()) {
        before = THREADS.getTasks();
        unchanged = 0;
      }
      Thread.sleep(100);
    }
  }
}
