// SPDX-License-Identifier: Apache-2.0

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.invoke.VarHandle;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.Signature;
import java.text.ChoiceFormat;
import java.text.Collator;
import java.text.DecimalFormat;
import java.text.DecimalFormatSymbols;
import java.text.MessageFormat;
import java.text.Normalizer;
import java.time.Duration;
import java.time.LocalDate;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Formatter;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.MissingResourceException;
import java.util.Properties;
import java.util.Random;
import java.util.ResourceBundle;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.WeakHashMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.concurrent.locks.StampedLock;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;

/** Uses java.base as programs do, one area after another. */
final class JavaBaseWork {
  private final StringJoiner said = new StringJoiner("; ");
  private final Path folder;

  private JavaBaseWork(Path folder) {
    this.folder = folder;
  }

  static String run(Path folder) throws Exception {
    JavaBaseWork work = new JavaBaseWork(folder);
    for (int round = 0; round < 5; round++) {
      work.numbers(round);
      work.texts(round);
      work.times(round);
      work.reflection(round);
      work.handles(round);
      work.exceptions(round);
      work.files(round);
      work.packing(round);
      work.secrets(round);
      work.threads(round);
      work.streams(round);
      work.objects(round);
    }
    work.processes();
    byte[] digest =
        MessageDigest.getInstance("SHA-256").digest(work.said.toString().getBytes("UTF-8"));
    return String.format("%064x", new BigInteger(1, digest));
  }

  private void say(Object what) {
    said.add(String.valueOf(what));
  }

  private static void expect(Object got, Object wanted) {
    if (!got.equals(wanted)) {
      throw new IllegalStateException("expected " + wanted + ", got " + got);
    }
  }

  private void numbers(int round) {
    expect(BigInteger.TWO.pow(127).subtract(BigInteger.ONE).isProbablePrime(20), true);
    say(BigInteger.valueOf(round + 3).modPow(BigInteger.valueOf(65537), BigInteger.TEN.pow(40)));
    say(BigDecimal.ONE.divide(BigDecimal.valueOf(7 + round), MathContext.DECIMAL128));
    say(Math.sin(round) + Math.cbrt(round) + StrictMath.exp(round));
    say(Double.parseDouble("1.7976931348623157e308") + " " + Float.toHexString(0.1f * round));
    say(Long.toString(Long.MAX_VALUE / (round + 1), 36) + Integer.toUnsignedString(-round));
    expect(Integer.parseInt("-2147483648"), Integer.MIN_VALUE);
    say(new Random(round).ints(20, 0, 100).boxed().collect(Collectors.toList()));
  }

  private void texts(int round) throws IOException {
    say(
        String.format(
            Locale.ROOT, "%08.3f|%-9s|%,d|%x|%tF", 3.14159 * round, "ab", 1234567, 255, 0L));
    Matcher matcher = Pattern.compile("(?<word>\\p{L}+)-(\\d+)(?=;)").matcher("Rīga-12;Lyon-7;");
    StringBuilder replaced = new StringBuilder();
    while (matcher.find()) {
      matcher.appendReplacement(replaced, matcher.group("word").toUpperCase(Locale.ROOT));
    }
    say(matcher.appendTail(replaced));
    say(
        new DecimalFormat("#,##0.00", DecimalFormatSymbols.getInstance(Locale.GERMANY))
            .format(9876.5 * round));
    say(
        new MessageFormat("{0} has {1,number,integer} {2}", Locale.ROOT)
            .format(new Object[] {"she", 3, "cats"}));
    say(new ChoiceFormat("0#none|1#one|1<many").format(round));
    say(Normalizer.normalize("Rīga", Normalizer.Form.NFD).length());
    say(Collator.getInstance(Locale.FRENCH).compare("cote", "côté"));
    say(new Formatter(Locale.ROOT).format("%s %<S %h", "text", "hash"));
    Properties properties = new Properties();
    properties.load(new java.io.StringReader("a=1\nb\\ c: \\u0041\n# no\n"));
    say(new TreeMap<>(properties));
    say("line\n  more\n".lines().map(String::strip).collect(Collectors.joining("+")));
    for (String charset : List.of("UTF-16", "ISO-8859-1", "windows-1252", "US-ASCII", "UTF-32")) {
      say(Arrays.hashCode("Zoë Rīga".getBytes(charset)));
    }
    try {
      ResourceBundle.getBundle("no.such.bundle", Locale.ROOT);
    } catch (MissingResourceException e) {
      say(e.getMessage());
    }
  }

  private void times(int round) {
    ZonedDateTime time = ZonedDateTime.of(2024, 3, 30, 12, 0, 0, 0, ZoneId.of("Europe/Riga"));
    say(time.plusDays(round).format(DateTimeFormatter.RFC_1123_DATE_TIME));
    say(
        DateTimeFormatter.ofPattern("EEEE d MMMM uuuu", Locale.ENGLISH)
            .format(time.plusDays(round)));
    say(LocalDate.parse("2024-02-29").plusYears(round).getDayOfWeek());
    say(Duration.between(time, time.plusWeeks(1)));
    say(new java.util.GregorianCalendar(2020, round, 31).getTimeInMillis() % 86_400_000L == 0);
  }

  /** Interface of a dynamic proxy. */
  public interface Greeter {
    String greet(String name);

    default String twice(String name) {
      return greet(name) + greet(name);
    }
  }

  /** Has public members for reflection. */
  public static final class Called {
    public int number = 5;

    public int fail(int code) {
      throw new IllegalArgumentException("code " + code);
    }

    public static String join(String one, Object... others) {
      return one + Arrays.toString(others);
    }
  }

  private void reflection(int round) throws Exception {
    InvocationHandler handler = (proxy, method, values) -> method.getName() + values[0];
    Greeter greeter =
        (Greeter)
            Proxy.newProxyInstance(
                JavaBaseWork.class.getClassLoader(), new Class<?>[] {Greeter.class}, handler);
    say(greeter.greet("you") + greeter.twice("me"));
    for (int i = 0; i < 20; i++) {
      Method join = Called.class.getMethod("join", String.class, Object[].class);
      say(join.invoke(null, "j", new Object[] {i, round}));
      try {
        Called.class.getMethod("fail", int.class).invoke(new Called(), i);
        throw new IllegalStateException("a call that fails did not");
      } catch (InvocationTargetException e) {
        say(e.getCause().getMessage());
      }
    }
    say(Called.class.getField("number").getInt(Called.class.getConstructor().newInstance()));
    say(
        Arrays.stream(Greeter.class.getMethods())
            .map(Method::toGenericString)
            .sorted()
            .collect(Collectors.toList()));
    say(java.lang.reflect.Array.newInstance(int[].class, round).getClass());
  }

  private volatile int counter;

  private void handles(int round) throws Exception {
    MethodHandles.Lookup lookup = MethodHandles.lookup();
    MethodHandle length =
        lookup.findVirtual(String.class, "length", MethodType.methodType(int.class));
    MethodHandle times =
        MethodHandles.insertArguments(
            lookup.findStatic(
                Math.class,
                "multiplyExact",
                MethodType.methodType(int.class, int.class, int.class)),
            0,
            round);
    VarHandle count = lookup.findVarHandle(JavaBaseWork.class, "counter", int.class);
    try {
      say((int) MethodHandles.filterReturnValue(length, times).invokeExact("seven"));
      say((int) count.getAndAdd(this, 3));
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
    Callable<Object> lambda = () -> "lambda " + round + counter;
    say(lambda.call());
  }

  private void exceptions(int round) {
    try {
      Object[] strings = new String[1];
      strings[0] = round;
    } catch (ArrayStoreException e) {
      say(e.getMessage());
    }
    try {
      say(((Object) "text").hashCode() / (round - round));
    } catch (ArithmeticException e) {
      say(e.getMessage());
    }
    try {
      int[] none = round < 0 ? new int[1] : null;
      say(none.length);
    } catch (NullPointerException e) {
      say(e.getMessage());
    }
    try {
      new ArrayList<>(List.of(1)).get(5);
    } catch (IndexOutOfBoundsException e) {
      say(e.getMessage());
      say(e.getStackTrace()[e.getStackTrace().length - 1].getMethodName());
    }
    try {
      for (Object each :
          new ArrayList<>(List.of(1, 2, 3)) {
            @Override
            public Object[] toArray() {
              return super.toArray();
            }
          }) {
        say(each);
      }
      List<Integer> changing = new ArrayList<>(List.of(1, 2, 3));
      changing.forEach(changing::remove);
    } catch (RuntimeException e) {
      say(e.getClass());
    }
    try {
      descend(new TreeMap<>(), 0);
    } catch (StackOverflowError e) {
      say(e.getClass());
    }
    say(
        StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE)
            .walk(
                frames ->
                    frames
                        .map(StackWalker.StackFrame::getMethodName)
                        .limit(3)
                        .collect(Collectors.toList())));
    try {
      Class.forName("no.such.Class");
    } catch (ClassNotFoundException e) {
      say(e.getMessage());
    }
  }

  /** Recurses through woven code until the stack overflows. */
  private static int descend(Map<Integer, Integer> map, int depth) {
    return map.computeIfAbsent(depth, key -> descend(new TreeMap<>(), key + 1));
  }

  private void files(int round) throws IOException {
    Path file = Files.createTempFile(folder, "work", ".txt");
    Files.write(file, List.of("one", "two", "three"));
    Files.writeString(file, "four", StandardOpenOption.APPEND);
    say(Files.readAllLines(file));
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      ByteBuffer mapped = channel.map(FileChannel.MapMode.READ_WRITE, 0, 64).putLong(8, round);
      ByteBuffer direct = ByteBuffer.allocateDirect(64);
      channel.read(direct, 0);
      say(direct.getLong(8) + mapped.limit());
    }
    try (java.util.stream.Stream<Path> all = Files.walk(file)) {
      say(all.count());
    }
    try (java.io.RandomAccessFile random = new java.io.RandomAccessFile(file.toFile(), "rw")) {
      random.seek(5);
      say(random.read());
    }
    Files.delete(file);
    try {
      Files.size(file);
    } catch (java.nio.file.NoSuchFileException e) {
      say("gone");
    }
  }

  private void packing(int round) throws IOException {
    byte[] data = ("packed " + round + " ").repeat(500).getBytes(StandardCharsets.UTF_8);
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (GZIPOutputStream out = new GZIPOutputStream(packed)) {
      out.write(data);
    }
    byte[] back =
        new GZIPInputStream(new ByteArrayInputStream(packed.toByteArray())).readAllBytes();
    expect(Arrays.equals(back, data), true);
    ByteArrayOutputStream zipped = new ByteArrayOutputStream();
    try (ZipOutputStream out = new ZipOutputStream(zipped)) {
      out.putNextEntry(new ZipEntry("entry"));
      out.write(data);
      out.closeEntry();
    }
    try (ZipInputStream in = new ZipInputStream(new ByteArrayInputStream(zipped.toByteArray()))) {
      say(in.getNextEntry().getName() + in.readAllBytes().length);
    }
    expect(
        Base64.getMimeDecoder().decode(Base64.getMimeEncoder().encode(data)).length, data.length);
  }

  private void secrets(int round) throws Exception {
    for (String name : List.of("MD5", "SHA-1", "SHA-384", "SHA3-256")) {
      say(Arrays.hashCode(MessageDigest.getInstance(name).digest(new byte[] {(byte) round})));
    }
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(new byte[] {1, 2, 3}, "HmacSHA256"));
    say(Arrays.hashCode(mac.doFinal(new byte[] {(byte) round})));
    SecretKeyFactory factory = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA1");
    say(
        Arrays.hashCode(
            factory
                .generateSecret(new PBEKeySpec("x".toCharArray(), new byte[8], 50, 128))
                .getEncoded()));
    KeyGenerator generator = KeyGenerator.getInstance("AES");
    generator.init(128);
    SecretKey key = generator.generateKey();
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, new byte[12]));
    byte[] secret = cipher.doFinal("secret".getBytes(StandardCharsets.UTF_8));
    cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(128, new byte[12]));
    expect(new String(cipher.doFinal(secret), StandardCharsets.UTF_8), "secret");
    for (String kind : round == 0 ? List.of("RSA", "EC") : List.of("EC")) {
      KeyPairGenerator pairs = KeyPairGenerator.getInstance(kind);
      pairs.initialize(kind.equals("RSA") ? 2048 : 256);
      KeyPair pair = pairs.generateKeyPair();
      Signature signature =
          Signature.getInstance(kind.equals("RSA") ? "SHA256withRSA" : "SHA256withECDSA");
      signature.initSign(pair.getPrivate());
      signature.update(secret);
      byte[] signed = signature.sign();
      signature.initVerify(pair.getPublic());
      signature.update(secret);
      expect(signature.verify(signed), true);
    }
  }

  /** Sums a range by splitting it in halves. */
  private static final class Sum extends RecursiveTask<Long> {
    private final int from;
    private final int to;

    Sum(int from, int to) {
      this.from = from;
      this.to = to;
    }

    @Override
    protected Long compute() {
      if (to - from < 50) {
        return IntStream.range(from, to).asLongStream().sum();
      }
      Sum left = new Sum(from, (from + to) / 2);
      left.fork();
      return new Sum((from + to) / 2, to).compute() + left.join();
    }
  }

  private void threads(int round) throws Exception {
    expect(new ForkJoinPool(3).invoke(new Sum(0, 1_000)), 499_500L);
    StampedLock stamped = new StampedLock();
    long stamp = stamped.tryOptimisticRead();
    expect(stamped.validate(stamp), true);
    ReentrantReadWriteLock lock = new ReentrantReadWriteLock(true);
    lock.writeLock().lock();
    lock.writeLock().unlock();
    try (AutoCloseable threads = virtualThreads()) {
      if (threads != null) {
        List<Future<Integer>> sleepers = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
          int number = i;
          sleepers.add(
              ((ExecutorService) threads)
                  .submit(
                      () -> {
                        Thread.sleep(number % 5);
                        return number + round;
                      }));
        }
        int sum = 0;
        for (Future<Integer> sleeper : sleepers) {
          sum += sleeper.get(60, TimeUnit.SECONDS);
        }
        expect(sum, 4_950 + 100 * round);
      }
    }
    ThreadLocal<Integer> local = ThreadLocal.withInitial(() -> 1);
    Thread thread = new Thread(() -> local.set(2));
    thread.start();
    thread.join();
    say(local.get());
  }

  /** Returns null if the JDK has no virtual threads. */
  private static AutoCloseable virtualThreads() throws ReflectiveOperationException {
    if (Runtime.version().feature() < 21) {
      return null;
    }
    return (AutoCloseable)
        java.util.concurrent.Executors.class
            .getMethod("newVirtualThreadPerTaskExecutor")
            .invoke(null);
  }

  private void streams(int round) {
    say(
        IntStream.rangeClosed(1, 300)
            .parallel()
            .boxed()
            .collect(
                Collectors.groupingByConcurrent(i -> i % 7, Collectors.summingInt(i -> i + round)))
            .entrySet()
            .stream()
            .sorted(Map.Entry.comparingByKey())
            .map(String::valueOf)
            .collect(Collectors.joining(",")));
    say(
        IntStream.iterate(1, i -> i * 3)
            .limit(9)
            .mapToObj(Integer::toString)
            .sorted()
            .collect(Collectors.toList()));
    int[] sorted = new Random(round).ints(5_000).toArray();
    Arrays.parallelSort(sorted);
    say(sorted[2_500]);
    List<String> shuffled = new ArrayList<>(Collections.nCopies(30, "x"));
    shuffled.set(round, "y");
    Collections.rotate(shuffled, 7);
    say(shuffled.indexOf("y"));
  }

  private enum Colour {
    RED,
    GREEN
  }

  private static final class Bean implements Serializable {
    private static final long serialVersionUID = 1;
    final Map<String, List<Integer>> values = new TreeMap<>();
    final transient int lost = 3;
    final Colour colour = Colour.GREEN;
  }

  private void objects(int round) throws Exception {
    Bean bean = new Bean();
    bean.values.put("key", new ArrayList<>(List.of(1, 2, round)));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(bean);
    }
    try (ObjectInputStream in =
        new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
      Bean back = (Bean) in.readObject();
      say(back.values + " " + back.lost + back.colour);
    }
    Map<Colour, Integer> colours = new EnumMap<>(Colour.class);
    colours.put(Colour.RED, round);
    say(colours);
    WeakHashMap<Object, Integer> weak = new WeakHashMap<>();
    weak.put(this, 1);
    IdentityHashMap<Object, Integer> same = new IdentityHashMap<>();
    same.put(new String("a"), 1);
    same.put(new String("a"), 2);
    say(weak.size() + same.size());
  }

  private void processes() throws Exception {
    Process process = new ProcessBuilder("/bin/cat").start();
    process.getOutputStream().write("from a child".getBytes(StandardCharsets.UTF_8));
    process.getOutputStream().close();
    say(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
    say(process.waitFor());
  }
}
