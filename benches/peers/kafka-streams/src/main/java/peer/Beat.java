package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;

import java.io.IOException;

/** What matters of a heartbeat or a goodbye. Jackson's streaming parser makes no tree. */
record Beat(boolean goodbye, String user, String session, long counter, boolean busy, long leaseMs) {

    private static final JsonFactory JSON = new JsonFactory();
    private static final long LEASE_MS = 90_000;

    /** Null for anything else, such as a beacon. */
    static Beat read(byte[] value) {
        String type = null;
        String user = null;
        String session = null;
        long counter = 0;
        long leaseMs = LEASE_MS;
        boolean busy = false;
        try (JsonParser parser = JSON.createParser(value)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return null;
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "type" -> type = parser.getText();
                    case "user" -> user = parser.getText();
                    case "session" -> session = parser.getText();
                    case "counter" -> counter = parser.getLongValue();
                    case "lease_ms" -> leaseMs = parser.getLongValue();
                    case "busy" -> busy = parser.getBooleanValue();
                    default -> parser.skipChildren();
                }
            }
        } catch (IOException unreadable) {
            return null;
        }
        boolean goodbye = "goodbye".equals(type);
        if (user == null || session == null || !(goodbye || "heartbeat".equals(type))) {
            return null;
        }
        return new Beat(goodbye, user, session, counter, busy, leaseMs);
    }
}
