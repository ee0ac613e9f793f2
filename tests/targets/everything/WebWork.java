// SPDX-License-Identifier: Apache-2.0

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Runs the JDK's own HTTP server on the loopback interface, under load from several threads. */
final class WebWork {
  private static final int CLIENTS = 4;
  private static final int REQUESTS = 100;

  private WebWork() {}

  /** Returns the result, or a message if the runtime has no HTTP server. */
  static String run() throws Exception {
    if (ModuleLayer.boot().findModule("jdk.httpserver").isEmpty()) {
      return "no server in this runtime";
    }
    return Serving.run();
  }

  /** A separate class, because it cannot be verified without the server. */
  private static final class Serving {
    static String run() throws Exception {
      HttpServer server =
          HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 50);
      ExecutorService serving = Executors.newFixedThreadPool(3);
      ExecutorService asking = Executors.newFixedThreadPool(CLIENTS);
      server.setExecutor(serving);
      server.createContext("/squares", Serving::answer);
      server.start();
      try {
        int port = server.getAddress().getPort();
        List<Future<Long>> answers = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
          int client = i;
          answers.add(asking.submit(() -> ask(port, client)));
        }
        long sum = 0;
        for (Future<Long> answer : answers) {
          sum += answer.get(120, TimeUnit.SECONDS);
        }
        return CLIENTS * REQUESTS + " answers, " + sum;
      } finally {
        server.stop(0);
        serving.shutdown();
        asking.shutdown();
      }
    }

    private static void answer(HttpExchange exchange) throws IOException {
      try (InputStream in = exchange.getRequestBody()) {
        long number = Long.parseLong(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        byte[] body = String.valueOf(number * number).getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(number % 10 == 9 ? 404 : 200, body.length);
        exchange.getResponseBody().write(body);
      } finally {
        exchange.close();
      }
    }

    private static long ask(int port, int client) throws IOException {
      long sum = 0;
      for (int i = 0; i < REQUESTS; i++) {
        long number = client * 1_000L + i;
        HttpURLConnection connection =
            (HttpURLConnection) new URL("http://localhost:" + port + "/squares").openConnection();
        connection.setDoOutput(true);
        try (OutputStream out = connection.getOutputStream()) {
          out.write(String.valueOf(number).getBytes(StandardCharsets.UTF_8));
        }
        boolean isMissing = connection.getResponseCode() == 404;
        try (InputStream in =
            isMissing ? connection.getErrorStream() : connection.getInputStream()) {
          long got = Long.parseLong(new String(in.readAllBytes(), StandardCharsets.UTF_8));
          if (got != number * number || isMissing != (number % 10 == 9)) {
            throw new IllegalStateException("wrong answer to " + number + ": " + got);
          }
          sum += got;
        }
      }
      return sum;
    }
  }
}
