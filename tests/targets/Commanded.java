// SPDX-License-Identifier: Apache-2.0
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * Runs the control gateway without the rest of the agent. Loads it from the agent's jar as the
 * agent does, with commands that print and echo their arguments. Argument: the gateway's directory.
 * Exits at the end of stdin.
 */
public class Commanded {
  private static AutoCloseable gateway;

  public static void main(String[] arguments) throws Exception {
    ClassLoader loader = agentLoader();
    Class<?> commands = loader.loadClass("io.jprobe.control.Commands");
    Object echo =
        Proxy.newProxyInstance(
            loader, new Class<?>[] {commands}, (proxy, method, given) -> called(method, given));
    Consumer<String> log = line -> System.out.println("log " + line);
    gateway =
        (AutoCloseable)
            loader
                .loadClass("io.jprobe.control.Gateway")
                .getMethod("open", commands, String.class, Consumer.class)
                .invoke(null, echo, arguments[0], log);
    System.out.println("hidden " + (isHidden("py4j.Protocol") && isHidden(commands.getName())));
    System.out.println("open");
    while (System.in.read() >= 0) {
      // Ignores the input.
    }
  }

  private static ClassLoader agentLoader() throws Exception {
    Class<?> type = Class.forName("io.jprobe.agent.AgentLoader");
    Method ofJarOf = type.getDeclaredMethod("ofJarOf", Class.class);
    ofJarOf.setAccessible(true);
    return (ClassLoader) ofJarOf.invoke(null, type);
  }

  private static boolean isHidden(String name) {
    try {
      Class.forName(name);
      return false;
    } catch (ClassNotFoundException e) {
      return true;
    }
  }

  private static Object called(Method method, Object[] given) throws Exception {
    if (method.getDeclaringClass() == Object.class) {
      // Methods of Object belong to the proxy itself and must be unreachable through the gateway.
      System.out.println("REACHED " + method.getName());
      return null;
    }
    if (method.getReturnType() == void.class) {
      System.out.println(method.getName());
      return null;
    }
    // The first argument of select is the client, which has nothing to print.
    int first = method.getName().equals("select") ? 1 : 0;
    Object[] said = given == null ? new Object[0] : Arrays.copyOfRange(given, first, given.length);
    String call = method.getName() + Arrays.toString(said);
    System.out.println("called " + call);
    if (method.getName().equals("reset")) {
      gateway.close();
    }
    return (call + "\0\n\u00ff").getBytes(StandardCharsets.ISO_8859_1);
  }
}
