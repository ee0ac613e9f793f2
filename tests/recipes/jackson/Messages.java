import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.Map;
import recipes.Commands;

/** Reads JSON messages, of which some do not fit. */
public class Messages {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  public record Order(long id, String city) {}

  public record Customer(String name) {}

  public static void main(String[] arguments) throws Exception {
    messages(10);
    Commands.serve(Map.of("messages", Messages::messages));
  }

  private static String messages(int count) {
    int malformed = 0;
    long characters = 0;
    for (int i = 0; i < count; i++) {
      String order = "{\"id\":" + i + ",\"city\":\"Riga\"}";
      String customer = i % 100 == 42 ? "{\"nmae\":\"Ada\"}" : "{\"name\":\"Ada\"}";
      characters += order.length() + customer.length();
      try {
        MAPPER.readValue(order, Order.class);
        MAPPER.readValue(customer, Customer.class);
      } catch (JsonProcessingException e) {
        malformed++;
      }
    }
    return "messages=" + 2 * count + " malformed=" + malformed + " characters=" + characters;
  }
}
