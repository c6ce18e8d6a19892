package peer;

import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.Cancellable;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Leases in a state store; a punctuator ends those that ran out, on the wall clock. */
final class Presence implements Processor<byte[], byte[], String, String> {

    static final String STORE = "sessions";
    private static final Duration SCAN_EVERY = Duration.ofSeconds(10);

    private ProcessorContext<String, String> context;
    private KeyValueStore<String, byte[]> store;
    private Cancellable punctuator;

    @Override
    public void init(ProcessorContext<String, String> context) {
        this.context = context;
        this.store = context.getStateStore(STORE);
        this.punctuator = context.schedule(SCAN_EVERY, PunctuationType.WALL_CLOCK_TIME, this::expire);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        Beat beat = record.value() == null ? null : Beat.read(record.value());
        if (beat == null) {
            return;
        }
        List<Session> sessions = Session.read(store.get(beat.user()));
        String before = Session.status(sessions);
        int at = indexOf(sessions, beat.session());
        if (at >= 0 && sessions.get(at).counter() >= beat.counter()) {
            return;
        }
        if (at >= 0) {
            sessions.remove(at);
        }
        if (!beat.goodbye()) {
            long expiresMs = context.currentSystemTimeMs() + beat.leaseMs();
            sessions.add(new Session(beat.session(), beat.counter(), beat.busy(), expiresMs));
        }
        put(beat.user(), sessions);
        tell(beat.user(), before, Session.status(sessions), record.timestamp());
    }

    private static int indexOf(List<Session> sessions, String id) {
        for (int i = 0; i < sessions.size(); i++) {
            if (sessions.get(i).id().equals(id)) {
                return i;
            }
        }
        return -1;
    }

    private void put(String user, List<Session> sessions) {
        if (sessions.isEmpty()) {
            store.delete(user);
        } else {
            store.put(user, Session.write(sessions));
        }
    }

    private void tell(String user, String from, String to, long timestampMs) {
        if (!from.equals(to)) {
            String value = "{\"v\":1,\"type\":\"transition\",\"user\":\"" + user + "\",\"from\":\"" + from
                + "\",\"to\":\"" + to + "\",\"occurred_at\":" + timestampMs + "}";
            context.forward(new Record<>(user, value, timestampMs));
        }
    }

    private void expire(long nowMs) {
        List<KeyValue<String, List<Session>>> ended = new ArrayList<>();
        try (KeyValueIterator<String, byte[]> all = store.all()) {
            while (all.hasNext()) {
                KeyValue<String, byte[]> next = all.next();
                List<Session> sessions = Session.read(next.value);
                if (sessions.stream().anyMatch(session -> session.expiresMs() <= nowMs)) {
                    ended.add(KeyValue.pair(next.key, sessions));
                }
            }
        }
        for (KeyValue<String, List<Session>> user : ended) {
            String before = Session.status(user.value);
            user.value.removeIf(session -> session.expiresMs() <= nowMs);
            put(user.key, user.value);
            tell(user.key, before, Session.status(user.value), nowMs);
        }
    }

    @Override
    public void close() {
        punctuator.cancel();
    }
}
