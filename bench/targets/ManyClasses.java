// SPDX-License-Identifier: Apache-2.0

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.function.IntUnaryOperator;

/**
 * Defines as many classes of one method as the argument says, prints "ready", and calls them all in
 * rounds. Runs until it is killed. Each class is a copy of {@link C00000} under another name.
 */
public class ManyClasses {
  public static class C00000 implements IntUnaryOperator {
    @Override
    public int applyAsInt(int number) {
      return number;
    }
  }

  private static class Loader extends ClassLoader {
    private final byte[] template;

    Loader(byte[] template) {
      super(ManyClasses.class.getClassLoader());
      this.template = template;
    }

    IntUnaryOperator create(int number) throws ReflectiveOperationException {
      byte[] name = String.format("C%05d", number).getBytes(StandardCharsets.US_ASCII);
      byte[] copy = template.clone();
      for (int at = 0; at + name.length <= copy.length; at++) {
        if (new String(copy, at, name.length, StandardCharsets.US_ASCII).equals("C00000")) {
          System.arraycopy(name, 0, copy, at, name.length);
        }
      }
      Class<?> defined = defineClass(null, copy, 0, copy.length);
      return (IntUnaryOperator) defined.getDeclaredConstructor().newInstance();
    }
  }

  public static void main(String[] arguments) throws Exception {
    IntUnaryOperator[] all = new IntUnaryOperator[Integer.parseInt(arguments[0])];
    try (InputStream in = ManyClasses.class.getResourceAsStream("ManyClasses$C00000.class")) {
      Loader loader = new Loader(in.readAllBytes());
      for (int i = 0; i < all.length; i++) {
        all[i] = loader.create(i + 1);
      }
    }
    System.out.println("ready");
    while (true) {
      int sum = 0;
      for (IntUnaryOperator one : all) {
        sum += one.applyAsInt(1);
      }
      Thread.sleep(sum / all.length);
    }
  }
}
