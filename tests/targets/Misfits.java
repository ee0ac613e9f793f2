// SPDX-License-Identifier: Apache-2.0
package com.acme.misfits;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.Scanner;
import java.util.function.IntSupplier;

class Letter {
  final int weight = 20;
  Letter answer;

  Letter answer() {
    return answer;
  }

  int heavy() {
    throw new IllegalStateException("a getter's own trouble");
  }
}

/** Its class cannot be found where {@link Reader} is. */
class Missing {
  private String word;
}

/** Where {@link Reader} is, its loader has trouble of its own with this one. */
class Troubling {
  private String word;
}

/** Where {@link Reader} is, the field is of another type than in the class file. */
class Changed {
  private String word;
}

/** Is loaded by {@link Misfits.Picky}. */
class Reader implements IntSupplier {
  static int missing(Missing missing) {
    return 42;
  }

  static int troubling(Troubling troubling) {
    return 42;
  }

  static int changed(Changed changed) {
    return 42;
  }

  static int plain() {
    return 42;
  }

  @Override
  public int getAsInt() {
    try {
      Changed changed = new Changed();
      Field word = Changed.class.getDeclaredField("word");
      word.setAccessible(true);
      word.setLong(changed, 0x5ca1ab1e);
      return missing(null) + troubling(null) + changed(changed) + plain();
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }
}

/**
 * Methods that captures have trouble with: whatever a capture meets, each call returns 42. A line
 * on stdin makes all calls, and is answered by the sum of what they returned; "exit" ends.
 */
public class Misfits {
  static int weigh(Letter letter) {
    return 42;
  }

  static int weigh(int grams) {
    return 42;
  }

  static int weigh(String words) {
    return 42;
  }

  /** What a capture of this method may call. */
  int total() {
    return 42;
  }

  int twice() {
    return 42;
  }

  /** Shows the files of classes that it does not load as they are. */
  static class Picky extends ClassLoader {
    Picky() {
      super(Picky.class.getClassLoader());
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      switch (name.substring(name.lastIndexOf('.') + 1)) {
        case "Missing":
          throw new ClassNotFoundException(name);
        case "Troubling":
          throw new IllegalStateException("no " + name);
        case "Reader":
        case "Changed":
          Class<?> loaded = findLoadedClass(name);
          return loaded != null ? loaded : define(name);
        default:
          return super.loadClass(name, resolve);
      }
    }

    /** Makes the string in Changed, which is its field, a long. */
    private Class<?> define(String name) {
      try (InputStream in = getResourceAsStream(name.replace('.', '/') + ".class")) {
        String file = new String(in.readAllBytes(), StandardCharsets.ISO_8859_1);
        if (name.endsWith("Changed")) {
          file = file.replace("\0\u0012Ljava/lang/String;", "\0\1J");
        }
        byte[] bytes = file.getBytes(StandardCharsets.ISO_8859_1);
        return defineClass(name, bytes, 0, bytes.length);
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    Constructor<?> constructor =
        Class.forName("com.acme.misfits.Reader", true, new Picky()).getDeclaredConstructor();
    // It is of another loader, and so of another package.
    constructor.setAccessible(true);
    IntSupplier reader = (IntSupplier) constructor.newInstance();
    Misfits misfits = new Misfits();
    System.out.println("ready");
    for (Scanner lines = new Scanner(System.in); !lines.nextLine().equals("exit"); ) {
      int sum = weigh(new Letter()) + weigh(1) + weigh("words");
      sum += misfits.total() + misfits.twice() + reader.getAsInt();
      System.out.println("called " + sum);
    }
  }
}
