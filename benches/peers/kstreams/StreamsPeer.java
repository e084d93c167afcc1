import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/** Kafka Streams over hopping windows; see the README beside. Arguments: topic, events, rules, options. */
public class StreamsPeer {
  record Event(long ts, double value, String service, String instance, String zone, String method, String path) {}

  static final JsonFactory JSON = new JsonFactory();
  static volatile long seen;

  static double cpu() {
    var os = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return os.getProcessCpuTime() / 1e9;
  }

  static double wall() {
    return (System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime()) / 1e3;
  }

  static Event parse(byte[] bytes) {
    try (JsonParser json = JSON.createParser(bytes)) {
      long ts = 0;
      double value = 0;
      String service = null, instance = null, zone = null, method = null, path = null;
      json.nextToken();
      while (json.nextToken() == JsonToken.FIELD_NAME) {
        String field = json.currentName();
        json.nextToken();
        switch (field) {
          case "ts" -> ts = json.getLongValue();
          case "value" -> value = json.getDoubleValue();
          case "labels" -> {
            while (json.nextToken() == JsonToken.FIELD_NAME) {
              String name = json.currentName();
              json.nextToken();
              switch (name) {
                case "service" -> service = json.getText();
                case "instance" -> instance = json.getText();
                case "zone" -> zone = json.getText();
                case "method" -> method = json.getText();
                case "path" -> path = json.getText();
                default -> { }
              }
            }
          }
          default -> json.skipChildren();
        }
      }
      return new Event(ts, value, service, instance, zone, method, path);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static double counted(int i) {
    return 0.6 + 0.01 * i;
  }

  static boolean fires(int i, double n, double value) {
    return switch (i % 4) {
      case 0 -> value / n > 0.7 + 0.01 * i;
      case 1 -> value > 1.0 + 0.01 * i;
      case 2 -> value > 20;
      default -> value > 0.5 + 0.005 * i;
    };
  }

  /** State of rule i alone: how many values, and what it makes of them. */
  static double[] add(int i, double v, double[] s) {
    boolean first = s[0]++ == 0;
    switch (i % 4) {
      case 0 -> s[1] += v;
      case 1 -> s[1] = first ? v : Math.max(s[1], v);
      case 2 -> s[1] += v > counted(i) ? 1 : 0;
      default -> s[1] = first ? v : Math.min(s[1], v);
    }
    return s;
  }

  /** State of all rules: how many values, sum, most, least, and a count for each rule that counts. */
  static double[] addAll(double v, double[] s) {
    boolean first = s[0]++ == 0;
    s[1] += v;
    s[2] = first ? v : Math.max(s[2], v);
    s[3] = first ? v : Math.min(s[3], v);
    for (int j = 4; j < s.length; j++) if (v > counted(4 * (j - 4) + 2)) s[j]++;
    return s;
  }

  static KeyValue<String, String> result(int i, Windowed<String> at, double value, double n) {
    return KeyValue.pair(at.key(), "{\"rule\":" + i + ",\"key\":\"" + at.key() + "\",\"ws\":" + at.window().start()
        + ",\"a\":" + (i % 4 == 0 ? value / n : value) + ",\"n\":" + (long) n + "}");
  }

  static <T> Serde<T> serde(Serializer<T> write, Deserializer<T> read) {
    return Serdes.serdeFrom(write, read);
  }

  static final Serde<Event> EVENTS = serde(
      (topic, event) -> { throw new UnsupportedOperationException(); },
      (topic, bytes) -> bytes == null ? null : parse(bytes));

  static final Serde<double[]> STATES = serde(
      (topic, state) -> {
        if (state == null) return null;
        ByteBuffer buffer = ByteBuffer.allocate(8 * state.length);
        for (double part : state) buffer.putDouble(part);
        return buffer.array();
      },
      (topic, bytes) -> {
        if (bytes == null) return null;
        double[] state = new double[bytes.length / 8];
        ByteBuffer.wrap(bytes).asDoubleBuffer().get(state);
        return state;
      });

  static Materialized<String, double[], WindowStore<Bytes, byte[]>> store(String name) {
    var supplier = Stores.inMemoryWindowStore(name, Duration.ofSeconds(62), Duration.ofSeconds(60), false);
    return Materialized.<String, double[]>as(supplier).withKeySerde(Serdes.String()).withValueSerde(STATES);
  }

  public static void main(String[] args) throws Exception {
    String topic = args[0];
    long events = Long.parseLong(args[1]);
    int rules = Integer.parseInt(args[2]);
    boolean shared = "shared".equals(System.getenv("MODE"));
    String app = "kstreams-peer-" + ProcessHandle.current().pid() + "-" + System.currentTimeMillis();
    String bootstrap = System.getenv("BOOTSTRAP"), out = System.getenv("OUT");
    var settings = new Properties();
    settings.put("application.id", app);
    settings.put("bootstrap.servers", bootstrap);
    settings.put("num.stream.threads", "1");
    settings.put("state.dir", System.getProperty("java.io.tmpdir") + "/" + app);
    settings.put("auto.offset.reset", "earliest");
    settings.put("replication.factor", "1");
    for (int i = 3; i < args.length; i++) {
      String[] option = args[i].split("=", 2);
      settings.put(option[0], option[1]);
    }
    var builder = new StreamsBuilder();
    KStream<String, Event> stream = builder.stream(topic, Consumed.with(Serdes.String(), EVENTS))
        .peek((key, event) -> seen++);
    var windows = TimeWindows.ofSizeAndGrace(Duration.ofSeconds(60), Duration.ofSeconds(2))
        .advanceBy(Duration.ofSeconds(10));
    if (shared) {
      stream.groupByKey(Grouped.with(Serdes.String(), EVENTS)).windowedBy(windows)
          .emitStrategy(EmitStrategy.onWindowClose())
          .aggregate(() -> new double[4 + (rules + 1) / 4], (k, event, s) -> addAll(event.value(), s), store("all"))
          .toStream()
          .flatMap((at, s) -> {
            List<KeyValue<String, String>> results = new ArrayList<>();
            for (int i = 0; i < rules; i++) {
              double value = switch (i % 4) { case 0 -> s[1]; case 1 -> s[2]; case 2 -> s[4 + i / 4]; default -> s[3]; };
              if (fires(i, s[0], value)) results.add(result(i, at, value, s[0]));
            }
            return results;
          })
          .to(out, Produced.with(Serdes.String(), Serdes.String()));
    } else {
      for (int r = 0; r < rules; r++) {
        final int i = r;
        stream.groupByKey(Grouped.with(Serdes.String(), EVENTS)).windowedBy(windows)
            .emitStrategy(EmitStrategy.onWindowClose())
            .aggregate(() -> new double[2], (k, event, s) -> add(i, event.value(), s), store("r" + i))
            .toStream()
            .filter((at, s) -> fires(i, s[0], s[1]))
            .map((at, s) -> result(i, at, s[1], s[0]))
            .to(out, Produced.with(Serdes.String(), Serdes.String()));
      }
    }
    var streams = new KafkaStreams(builder.build(settings), settings);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      System.exit(3);
      return null;
    });
    streams.start();
    while (seen < events) Thread.sleep(50);
    streams.close(Duration.ofSeconds(60));
    long rss = Long.parseLong(Files.readAllLines(Path.of("/proc/self/status")).stream()
        .filter(line -> line.startsWith("VmHWM")).findFirst().orElse("0").replaceAll("\\D+", ""));
    System.out.printf(Locale.ROOT, "RESULT kstreams rules=%d mode=%s cpu=%.2f wall=%.2f rss_mb=%d%n",
        rules, shared ? "shared" : "diff", cpu(), wall(), rss / 1024);
    streams.cleanUp();
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      var mine = admin.listTopics().names().get().stream().filter(name -> name.startsWith(app)).toList();
      admin.deleteTopics(mine).all().get();
    }
    System.exit(0);
  }
}
