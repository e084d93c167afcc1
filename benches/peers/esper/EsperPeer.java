import com.espertech.esper.common.client.EPCompiled;
import com.espertech.esper.common.client.EventBean;
import com.espertech.esper.common.client.configuration.Configuration;
import com.espertech.esper.compiler.client.CompilerArguments;
import com.espertech.esper.compiler.client.EPCompilerProvider;
import com.espertech.esper.runtime.client.EPEventService;
import com.espertech.esper.runtime.client.EPRuntime;
import com.espertech.esper.runtime.client.EPRuntimeProvider;
import com.espertech.esper.runtime.client.EPStatement;
import com.espertech.esper.runtime.client.UpdateListener;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Esper over sliding windows, looked at every 10 s; see the README beside. Arguments: topic, partitions, rules. */
public class EsperPeer {
  public static final class Event {
    long ts;
    double value;
    String key, service, instance, zone, method, path;

    public long getTs() { return ts; }
    public double getValue() { return value; }
    public String getKey() { return key; }
    public String getService() { return service; }
    public String getInstance() { return instance; }
    public String getZone() { return zone; }
    public String getMethod() { return method; }
    public String getPath() { return path; }
  }

  static final JsonFactory JSON = new JsonFactory();
  static final long HOP_MS = 10_000;

  static double cpu() {
    var os = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return os.getProcessCpuTime() / 1e9;
  }

  static double wall() {
    return (System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime()) / 1e3;
  }

  static Event parse(String key, byte[] bytes) throws IOException {
    try (JsonParser json = JSON.createParser(bytes)) {
      var event = new Event();
      event.key = key;
      json.nextToken();
      while (json.nextToken() == JsonToken.FIELD_NAME) {
        String field = json.currentName();
        json.nextToken();
        switch (field) {
          case "ts" -> event.ts = json.getLongValue();
          case "value" -> event.value = json.getDoubleValue();
          case "labels" -> {
            while (json.nextToken() == JsonToken.FIELD_NAME) {
              String name = json.currentName();
              json.nextToken();
              switch (name) {
                case "service" -> event.service = json.getText();
                case "instance" -> event.instance = json.getText();
                case "zone" -> event.zone = json.getText();
                case "method" -> event.method = json.getText();
                case "path" -> event.path = json.getText();
                default -> { }
              }
            }
          }
          default -> json.skipChildren();
        }
      }
      return event;
    }
  }

  static String statement(int i) {
    String value = switch (i % 4) {
      case 0 -> "avg(value)";
      case 1 -> "max(value)";
      case 2 -> String.format(Locale.ROOT, "count(*, filter: value > %.2f)", 0.6 + 0.01 * i);
      default -> "min(value)";
    };
    String threshold = switch (i % 4) {
      case 0 -> String.format(Locale.ROOT, "%.2f", 0.7 + 0.01 * i);
      case 1 -> String.format(Locale.ROOT, "%.2f", 1.0 + 0.01 * i);
      case 2 -> "20";
      default -> String.format(Locale.ROOT, "%.3f", 0.5 + 0.005 * i);
    };
    return "@name('r" + i + "') select key, " + value + " as a, count(*) as n from M#ext_timed(ts, 60 sec)"
        + " group by key having " + value + " > " + threshold + " output snapshot every 10 seconds;\n";
  }

  public static void main(String[] args) throws Exception {
    String topic = args[0], out = System.getenv("OUT");
    int partitions = Integer.parseInt(args[1]), rules = Integer.parseInt(args[2]);
    var config = new Configuration();
    config.getCommon().addEventType("M", Event.class);
    config.getRuntime().getThreading().setInternalTimerEnabled(false);
    config.getRuntime().getThreading().setListenerDispatchPreserveOrder(false);
    var text = new StringBuilder();
    for (int i = 0; i < rules; i++) text.append(statement(i));
    EPCompiled compiled = EPCompilerProvider.getCompiler().compile(text.toString(), new CompilerArguments(config));
    double compiledCpu = cpu();

    var in = new Properties();
    in.put("bootstrap.servers", System.getenv("BOOTSTRAP"));
    in.put("group.id", "esper");
    in.put("enable.auto.commit", "false");
    var consumer = new KafkaConsumer<>(in, new StringDeserializer(), new ByteArrayDeserializer());
    var to = new Properties();
    to.put("bootstrap.servers", System.getenv("BOOTSTRAP"));
    to.put("linger.ms", "5");
    var producer = new KafkaProducer<>(to, new StringSerializer(), new StringSerializer());
    List<TopicPartition> all = new ArrayList<>();
    for (int i = 0; i < partitions; i++) all.add(new TopicPartition(topic, i));
    consumer.assign(all);
    consumer.seekToBeginning(all);
    long total = 0, seen = 0;
    for (long end : consumer.endOffsets(all).values()) total += end;

    UpdateListener listener = (found, old, statement, runtime) -> {
      if (found == null) return;
      for (EventBean result : found) {
        String key = (String) result.get("key");
        producer.send(new ProducerRecord<>(out, key, "{\"rule\":\"" + statement.getName() + "\",\"key\":\"" + key
            + "\",\"t\":" + runtime.getEventService().getCurrentTime() + ",\"a\":" + result.get("a")
            + ",\"n\":" + result.get("n") + "}"));
      }
    };
    // A catch-up read skews partitions in event time, so each has a runtime and a clock of its own.
    var services = new EPEventService[partitions];
    var next = new long[partitions];
    while (seen < total) {
      for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofMillis(100))) {
        Event event = parse(record.key(), record.value());
        int p = record.partition();
        if (services[p] == null) {
          EPRuntime runtime = EPRuntimeProvider.getRuntime("p" + p, config);
          services[p] = runtime.getEventService();
          services[p].clockExternal();
          long begin = event.ts - Math.floorMod(event.ts, HOP_MS);
          services[p].advanceTime(begin);
          next[p] = begin + HOP_MS;
          for (EPStatement s : runtime.getDeploymentService().deploy(compiled).getStatements()) s.addListener(listener);
        }
        while (event.ts >= next[p]) {
          services[p].advanceTime(next[p]);
          next[p] += HOP_MS;
        }
        services[p].sendEventBean(event, "M");
        seen++;
      }
    }
    producer.flush();
    double end = cpu(), wall = wall();
    consumer.close();
    producer.close();
    long rss = Long.parseLong(Files.readAllLines(Path.of("/proc/self/status")).stream()
        .filter(line -> line.startsWith("VmHWM")).findFirst().orElse("0").replaceAll("\\D+", ""));
    System.out.printf(Locale.ROOT, "RESULT esper rules=%d compiled_cpu=%.2f cpu=%.2f wall=%.2f rss_mb=%d%n",
        rules, compiledCpu, end, wall, rss / 1024);
    System.exit(0);
  }
}
