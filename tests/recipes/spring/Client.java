package shop;

import java.lang.management.ManagementFactory;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import recipes.Commands;

/** Requests pages of the shop, and reads the counters of its Tomcat. */
final class Client {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  private static String address;

  private Client() {}

  static void serve(int port) throws Exception {
    address = "http://127.0.0.1:" + port;
    request("GET", "/orders/1");
    Commands.serve(Map.of("reports", Client::reports, "payments", Client::payments));
  }

  private static int request(String method, String path) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(address + path))
            .method(method, HttpRequest.BodyPublishers.noBody())
            .build();
    return CLIENT.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
  }

  private static String reports(int count) throws Exception {
    int requests = counter("requestCount");
    for (int i = 0; i < count; i++) {
      request("GET", i % 3 == 2 ? "/reports/none" : "/reports/daily");
      for (int order = 0; order < 20; order++) {
        request("GET", "/orders/" + order);
      }
    }
    return "reports=" + count + growth(requests, 21 * count);
  }

  private static String payments(int count) throws Exception {
    int requests = counter("requestCount");
    int errors = counter("errorCount");
    int declined = 0;
    for (int card = 1; card <= count; card++) {
      declined += request("POST", "/payments/" + card) == 500 ? 1 : 0;
    }
    String growth = growth(requests, count);
    return "declined=" + declined + growth + " errorCount=" + (counter("errorCount") - errors);
  }

  /** Waits until Tomcat has counted the last request: the client has its answer before. */
  private static String growth(int before, int expected) throws Exception {
    for (int wait = 0; wait < 500 && counter("requestCount") < before + expected; wait++) {
      Thread.sleep(10);
    }
    return " requestCount=" + (counter("requestCount") - before);
  }

  private static int counter(String name) throws Exception {
    MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
    int sum = 0;
    ObjectName pattern = new ObjectName("Tomcat:type=GlobalRequestProcessor,*");
    for (ObjectName processor : beans.queryNames(pattern, null)) {
      sum += (Integer) beans.getAttribute(processor, name);
    }
    return sum;
  }
}
