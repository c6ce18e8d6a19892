package peer;

import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.Stores;

import java.util.Properties;

/** {@code Main BROKER APPLICATION STATE_DIRECTORY}: heartbeats in, transitions out, exactly once. */
public final class Main {

    private static final String INPUT = "heartbeats";
    private static final String OUTPUT = "streams-presence";
    /** One per processor, as the worker folds on all of them. */
    private static final int THREADS = Runtime.getRuntime().availableProcessors();
    /** The harness stops the process while it writes a backlog: nobody may take it for dead meanwhile. */
    private static final int PATIENCE_MS = 300_000;

    private Main() {}

    public static void main(String[] arguments) {
        KafkaStreams streams = new KafkaStreams(topology(), settings(arguments));
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Topology topology() {
        var store = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(Presence.STORE), Serdes.String(), Serdes.ByteArray());
        return new Topology()
            .addSource("beats", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), INPUT)
            .addProcessor("presence", Presence::new, "beats")
            .addStateStore(store.withCachingEnabled(), "presence")
            .addSink("transitions", OUTPUT, Serdes.String().serializer(), Serdes.String().serializer(), "presence");
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, THREADS);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 * 1024 * 1024);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), PATIENCE_MS);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), PATIENCE_MS);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_INTERVAL_MS_CONFIG), 2 * PATIENCE_MS);
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        return settings;
    }
}
