// SPDX-License-Identifier: Apache-2.0
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * The control gateway alone, out of the agent's jar and as the agent loads it, with commands that
 * print and echo what they are called with. Its argument is the gateway's directory; it ends with
 * its stdin.
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
      // It is asked for nothing in this way.
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
      // A proxy's own: nobody may call them through the gateway.
      System.out.println("REACHED " + method.getName());
      return null;
    }
    if (method.getReturnType() == void.class) {
      System.out.println(method.getName());
      return null;
    }
    // A client is an object that says nothing.
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
