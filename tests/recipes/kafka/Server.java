import java.lang.management.ManagementFactory;
import java.util.Map;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import recipes.Commands;

/** A Kafka broker, whose own metrics a command reads. */
public class Server {
  private static final MBeanServer BEANS = ManagementFactory.getPlatformMBeanServer();

  public static void main(String[] arguments) throws Exception {
    new Thread(() -> kafka.Kafka.main(arguments), "kafka-main").start();
    Commands.serve(Map.of("metrics", Server::metrics));
  }

  private static String metrics(int count) throws Exception {
    String topics = "kafka.server:type=BrokerTopicMetrics,name=";
    String requests = "kafka.network:type=RequestMetrics,name=RequestsPerSec,request=";
    return "messagesIn="
        + counted(topics + "MessagesInPerSec")
        + " bytesOut="
        + counted(topics + "BytesOutPerSec")
        + " produceRequests="
        + counted(requests + "Produce,*");
  }

  private static long counted(String pattern) throws Exception {
    long sum = 0;
    for (ObjectName name : BEANS.queryNames(new ObjectName(pattern), null)) {
      sum += (Long) BEANS.getAttribute(name, "Count");
    }
    return sum;
  }
}
