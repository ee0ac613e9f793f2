import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import javax.management.ObjectName;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.threads.ThreadPoolExecutor;
import recipes.Commands;

/** An embedded Tomcat with two threads. Its servlet answers after a few milliseconds. */
public class Servlets extends HttpServlet {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  private static String address;
  private static ThreadPoolExecutor threads;

  public static void main(String[] arguments) throws Exception {
    Tomcat tomcat = new Tomcat();
    tomcat.setBaseDir(Files.createTempDirectory("recipes-tomcat-").toString());
    tomcat.setPort(0);
    tomcat.getConnector().setProperty("address", "127.0.0.1");
    tomcat.getConnector().setProperty("maxThreads", "2");
    tomcat.getConnector().setProperty("minSpareThreads", "2");
    Context context = tomcat.addContext("", null);
    Tomcat.addServlet(context, "servlet", new Servlets());
    context.addServletMappingDecoded("/*", "servlet");
    tomcat.start();
    address = "http://127.0.0.1:" + tomcat.getConnector().getLocalPort() + "/";
    threads = (ThreadPoolExecutor) tomcat.getConnector().getProtocolHandler().getExecutor();
    requests(3);
    Commands.serve(Map.of("requests", Servlets::requests, "burst", Servlets::burst));
  }

  @Override
  protected void doGet(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    try {
      Thread.sleep(request.getRequestURI().length() % 5);
    } catch (InterruptedException e) {
      throw new IOException(e);
    }
    response.getWriter().print("hello");
  }

  /** Returns the number of requests that Tomcat itself has counted. */
  private static long counted() throws Exception {
    long sum = 0;
    ObjectName names = new ObjectName("Tomcat:type=GlobalRequestProcessor,*");
    for (ObjectName name : ManagementFactory.getPlatformMBeanServer().queryNames(names, null)) {
      sum +=
          (Integer) ManagementFactory.getPlatformMBeanServer().getAttribute(name, "requestCount");
    }
    return sum;
  }

  private static HttpRequest request(int number) {
    return HttpRequest.newBuilder(URI.create(address + "x".repeat(number % 7))).build();
  }

  private static String requests(int count) throws Exception {
    long before = counted();
    for (int i = 0; i < count; i++) {
      CLIENT.send(request(i), HttpResponse.BodyHandlers.discarding());
    }
    // A client has its answer before Tomcat has finished the request.
    for (int wait = 0; wait < 500 && counted() < before + count; wait++) {
      Thread.sleep(10);
    }
    return "requestCount=" + (counted() - before);
  }

  private static String burst(int count) throws Exception {
    awaitIdleThreads();
    long before = threads.getCompletedTaskCount();
    List<CompletableFuture<?>> answers = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      answers.add(CLIENT.sendAsync(request(i), HttpResponse.BodyHandlers.discarding()));
    }
    CompletableFuture.allOf(answers.toArray(new CompletableFuture<?>[0])).join();
    awaitIdleThreads();
    return "completedTaskCount=" + (threads.getCompletedTaskCount() - before);
  }

  private static void awaitIdleThreads() throws Exception {
    for (int wait = 0;
        wait < 500 && threads.getTaskCount() > threads.getCompletedTaskCount();
        wait++) {
      Thread.sleep(10);
    }
  }
}
