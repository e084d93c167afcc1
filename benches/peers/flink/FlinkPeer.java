import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamStatementSet;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/** Flink SQL over hopping windows; see the README beside. Arguments: topic, rules, parallelism, options. */
public class FlinkPeer {
  static final String SERIES = "service, instance, zone, `method`, path";
  static final String HOP =
      " FROM TABLE(HOP(TABLE ev, DESCRIPTOR(rt), INTERVAL '10' SECOND, INTERVAL '60' SECOND))"
          + " GROUP BY window_start, window_end, " + SERIES;

  static double cpu() {
    var os = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return os.getProcessCpuTime() / 1e9;
  }

  static double wall() {
    return (System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime()) / 1e3;
  }

  static String threshold(int i) {
    return switch (i % 4) {
      case 0 -> String.format(Locale.ROOT, "%.2f", 0.7 + 0.01 * i);
      case 1 -> String.format(Locale.ROOT, "%.2f", 1.0 + 0.01 * i);
      case 2 -> String.format(Locale.ROOT, "%.2f", 0.6 + 0.01 * i);
      default -> String.format(Locale.ROOT, "%.3f", 0.5 + 0.005 * i);
    };
  }

  static String counted(int i) {
    return "COUNT(*) FILTER (WHERE v > " + threshold(i) + ")";
  }

  /** A rule as a statement of its own. */
  static String single(int i) {
    String value = switch (i % 4) {
      case 0 -> "AVG(v)";
      case 1 -> "MAX(v)";
      case 2 -> "CAST(" + counted(i) + " AS DOUBLE)";
      default -> "MIN(v)";
    };
    String having = i % 4 == 2 ? counted(i) + " > 20" : value + " > " + threshold(i);
    return "INSERT INTO sink SELECT " + i + ", " + SERIES + ", window_start, " + value + ", COUNT(*)"
        + HOP + " HAVING " + having;
  }

  /** What all rules need of a window, once. */
  static String merged(int rules) {
    var view = new StringBuilder("CREATE VIEW w AS SELECT " + SERIES
        + ", window_start, AVG(v) AS av, MAX(v) AS mx, MIN(v) AS mn, COUNT(*) AS n");
    for (int i = 2; i < rules; i += 4) view.append(", " + counted(i) + " AS c" + i);
    return view + HOP;
  }

  /** Whether a rule holds in the merged view. */
  static String holds(int i) {
    return switch (i % 4) {
      case 0 -> "av > " + threshold(i);
      case 1 -> "mx > " + threshold(i);
      case 2 -> "c" + i + " > 20";
      default -> "mn > " + threshold(i);
    };
  }

  /**
   * All rules over the merged view: a row for each window in which some hold, with their numbers. One
   * statement: several over one view would each compute it again.
   */
  static String filter(int rules) {
    var any = new StringBuilder();
    var list = new StringBuilder("CONCAT_WS(','");
    for (int i = 0; i < rules; i++) {
      any.append(i == 0 ? "" : " OR ").append(holds(i));
      list.append(", CASE WHEN " + holds(i) + " THEN '" + i + "' END");
    }
    return "INSERT INTO sink SELECT " + list + "), " + SERIES + ", window_start, n FROM w WHERE " + any;
  }

  public static void main(String[] args) throws Exception {
    String topic = args[0];
    int rules = Integer.parseInt(args[1]);
    int parallelism = Integer.parseInt(args[2]);
    boolean shared = "shared".equals(System.getenv("MODE"));
    var options = new Configuration();
    for (int i = 3; i < args.length; i++) {
      String[] option = args[i].split("=", 2);
      options.setString(option[0], option[1]);
    }
    var env = StreamExecutionEnvironment.createLocalEnvironment(parallelism, options);
    var settings = EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(options).build();
    var tables = StreamTableEnvironment.create(env, settings);
    String kafka = "'connector'='kafka','format'='json','properties.bootstrap.servers'='"
        + System.getenv("BOOTSTRAP") + "',";
    tables.executeSql("CREATE TABLE m (ts BIGINT, name STRING, labels ROW<service STRING, instance STRING,"
        + " zone STRING, `method` STRING, path STRING>, `value` DOUBLE, rt AS TO_TIMESTAMP_LTZ(ts, 3),"
        + " WATERMARK FOR rt AS rt - INTERVAL '2' SECOND) WITH (" + kafka + "'topic'='" + topic
        + "','properties.group.id'='flink','scan.startup.mode'='earliest-offset',"
        + "'scan.bounded.mode'='latest-offset')");
    tables.executeSql("CREATE VIEW ev AS SELECT labels.service AS service, labels.instance AS instance,"
        + " labels.zone AS zone, labels.`method` AS `method`, labels.path AS path, `value` AS v, rt FROM m");
    tables.executeSql("CREATE TABLE sink (" + (shared ? "rules STRING" : "rule INT") + ", service STRING,"
        + " instance STRING, zone STRING, `method` STRING, path STRING, ws TIMESTAMP(3),"
        + (shared ? "" : " a DOUBLE,") + " n BIGINT) WITH (" + kafka
        + "'topic'='" + System.getenv("OUT") + "')");
    StreamStatementSet statements = tables.createStatementSet();
    if (shared) {
      tables.executeSql(merged(rules));
      statements.addInsertSql(filter(rules));
    } else {
      for (int i = 0; i < rules; i++) statements.addInsertSql(single(i));
    }
    TableResult job = statements.execute();
    double submitted = cpu();
    job.await();
    long rss = Long.parseLong(Files.readAllLines(Path.of("/proc/self/status")).stream()
        .filter(line -> line.startsWith("VmHWM")).findFirst().orElse("0").replaceAll("\\D+", ""));
    System.out.printf(Locale.ROOT, "RESULT flink rules=%d mode=%s submit_cpu=%.2f cpu=%.2f wall=%.2f rss_mb=%d%n",
        rules, shared ? "shared" : "diff", submitted, cpu(), wall(), rss / 1024);
    System.exit(0);
  }
}
