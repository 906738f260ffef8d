package bench;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The benchmark's jobs on Kafka Streams: one thread, a store in memory with its cache and changelog on.
 *
 * <p>Arguments: properties as {@code name=value}, written by {@code infra/bench/contestants/kafka_streams.py}.
 */
public final class Peer {
    private static final String STORE = "state";
    private static final int LOOK_MS = 10;
    private static final int PROGRESS_LOOKS = 50;

    private Peer() { }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> job = new HashMap<>();
        for (String argument : arguments) {
            int at = argument.indexOf('=');
            job.put(argument.substring(0, at), argument.substring(at + 1));
        }
        long records = Long.parseLong(job.get("records"));
        Watch watch = new Watch(Path.of(job.get("report")), Long.parseLong(job.get("warm_up")));
        Properties properties = properties(job);
        try (KafkaStreams streams = new KafkaStreams(topology(job, watch), properties)) {
            streams.start();
            for (int looks = 0; watch.done() < records; looks++) {
                Thread.sleep(LOOK_MS);
                if (looks % PROGRESS_LOOKS == 0) {
                    watch.progress();
                }
            }
            // Closing commits all tasks at once; the watch stops when that is done, not when all has been tidied up.
            Thread closing = new Thread(streams::close);
            closing.start();
            untilCommitted(job);
            watch.finish();
            closing.join();
        }
    }

    private static Topology topology(Map<String, String> job, Watch watch) {
        var bytes = Serdes.ByteArray();
        var store = Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), bytes, bytes)
            .withCachingEnabled()
            .withLoggingEnabled(Map.of());
        return new Topology()
            .addSource("source", bytes.deserializer(), bytes.deserializer(), job.get("topic"))
            .addProcessor("step", () -> new Stepping(Step.of(job.get("kind")), watch), "source")
            .addStateStore(store, "step")
            .addSink("sink", job.get("outputs"), bytes.serializer(), bytes.serializer(), "step");
    }

    private static Properties properties(Map<String, String> job) {
        boolean exactlyOnce = job.get("guarantee").equals(StreamsConfig.EXACTLY_ONCE_V2);
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("group"));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("bootstrap_servers"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, job.get("data_dir"));
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, job.get("guarantee"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L * 1024 * 1024);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, exactlyOnce ? 500 : 1000);
        properties.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        properties.put(StreamsConfig.METRICS_RECORDING_LEVEL_CONFIG, "INFO");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.CHECK_CRCS_CONFIG), false);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 50);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 * 1024);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L * 1024 * 1024);
        return properties;
    }

    private static void untilCommitted(Map<String, String> job) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", job.get("bootstrap_servers"));
        long wanted = Long.parseLong(job.get("end_offsets"));
        try (Admin admin = Admin.create(properties)) {
            while (committed(admin, job) != wanted) {
                Thread.sleep(LOOK_MS);
            }
        }
    }

    private static long committed(Admin admin, Map<String, String> job) throws Exception {
        long sum = 0;
        var offsets = admin.listConsumerGroupOffsets(job.get("group")).partitionsToOffsetAndMetadata().get();
        for (Map.Entry<TopicPartition, OffsetAndMetadata> entry : offsets.entrySet()) {
            if (entry.getValue() != null && entry.getKey().topic().equals(job.get("topic"))) {
                sum += entry.getValue().offset();
            }
        }
        return sum;
    }

    /** Steps one partition's twins. */
    private static final class Stepping implements Processor<byte[], byte[], byte[], byte[]> {
        private final Step step;
        private final Watch watch;
        private final Telemetry telemetry = new Telemetry();
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> store;

        Stepping(Step step, Watch watch) {
            this.step = step;
            this.watch = watch;
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            watch.count();
            telemetry.decode(record.value());
            byte[] state = step.step(store.get(record.key()), telemetry);
            store.put(record.key(), state);
            byte[] report = step.report(state, telemetry);
            if (report != null) {
                context.forward(record.withValue(report));
            }
        }
    }
}
