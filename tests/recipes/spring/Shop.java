package shop;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.metrics.buffering.BufferingApplicationStartup;
import org.springframework.boot.web.context.WebServerApplicationContext;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RestController;

/** A Spring Boot application that serves a shop. */
@SpringBootApplication
@RestController
public class Shop {
  private static final Logger LOG = LoggerFactory.getLogger(Shop.class);
  private static final int KNOWN_ORDERS = 100;

  public static void main(String[] arguments) throws Exception {
    BufferingApplicationStartup steps = new BufferingApplicationStartup(10_000);
    SpringApplication application = new SpringApplication(Shop.class);
    application.setApplicationStartup(steps);
    WebServerApplicationContext context =
        (WebServerApplicationContext)
            application.run(
                "--server.address=127.0.0.1",
                "--server.port=0",
                "--server.tomcat.mbeanregistry.enabled=true",
                "--spring.main.banner-mode=off",
                "--logging.level.root=warn");
    long beans =
        steps.getBufferedTimeline().getEvents().stream()
            .map(event -> event.getStartupStep())
            .filter(step -> step.getName().equals("spring.beans.instantiate"))
            // A bean that others ask for while it is created has more than one step.
            .map(step -> step.getTags().iterator().next().getValue())
            .distinct()
            .count();
    System.out.println("beans=" + beans);
    Client.serve(context.getWebServer().getPort());
  }

  @GetMapping("/orders/{id}")
  ResponseEntity<String> order(@PathVariable("id") int id) {
    return id < KNOWN_ORDERS ? ResponseEntity.ok("order " + id) : ResponseEntity.notFound().build();
  }

  @GetMapping("/reports/{name}")
  ResponseEntity<String> report(@PathVariable("name") String name) throws InterruptedException {
    Thread.sleep(120);
    return name.equals("none") ? ResponseEntity.noContent().build() : ResponseEntity.ok("report");
  }

  @PostMapping("/payments/{card}")
  String pay(@PathVariable("card") int card) {
    if (card % 10 == 7) {
      LOG.warn("card {} was declined", card);
      throw new IllegalStateException("card " + card + " was declined");
    }
    return "paid";
  }
}
