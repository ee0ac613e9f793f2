package shop;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;
import recipes.Commands;

/** Requests pages of the shop. */
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

  private static String orders(int count) throws Exception {
    int missing = 0;
    for (int i = 0; i < count; i++) {
      missing += request("GET", "/orders/" + i) == 404 ? 1 : 0;
    }
    return "requests=" + count + " missing=" + missing;
  }

  private static String reports(int count) throws Exception {
    for (int i = 0; i < count; i++) {
      request("GET", i % 3 == 2 ? "/reports/none" : "/reports/daily");
      orders(20);
    }
    // The client has its answer before Tomcat has finished the request.
    Thread.sleep(500);
    return "reports=" + count;
  }

  private static String payments(int count) throws Exception {
    int declined = 0;
    for (int card = 1; card <= count; card++) {
      declined += request("POST", "/payments/" + card) == 500 ? 1 : 0;
    }
    return "payments=" + count + " declined=" + declined;
  }
}
