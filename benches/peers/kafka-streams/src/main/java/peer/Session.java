package peer;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

import static java.nio.charset.StandardCharsets.UTF_8;

/** One session of a user; a user's value in the store is its sessions, one after the other. */
record Session(String id, long counter, boolean busy, long expiresMs) {

    static List<Session> read(byte[] value) {
        List<Session> sessions = new ArrayList<>(2);
        if (value == null) {
            return sessions;
        }
        ByteBuffer buffer = ByteBuffer.wrap(value);
        while (buffer.hasRemaining()) {
            byte[] id = new byte[buffer.getShort()];
            buffer.get(id);
            sessions.add(new Session(new String(id, UTF_8), buffer.getLong(), buffer.get() == 1, buffer.getLong()));
        }
        return sessions;
    }

    static byte[] write(List<Session> sessions) {
        if (sessions.isEmpty()) {
            return null;
        }
        byte[][] ids = sessions.stream().map(session -> session.id.getBytes(UTF_8)).toArray(byte[][]::new);
        int size = 0;
        for (byte[] id : ids) {
            size += 2 + id.length + 17;
        }
        ByteBuffer buffer = ByteBuffer.allocate(size);
        for (int i = 0; i < ids.length; i++) {
            Session session = sessions.get(i);
            buffer.putShort((short) ids[i].length).put(ids[i]);
            buffer.putLong(session.counter).put((byte) (session.busy ? 1 : 0)).putLong(session.expiresMs);
        }
        return buffer.array();
    }

    static String status(List<Session> sessions) {
        if (sessions.isEmpty()) {
            return "offline";
        }
        return sessions.stream().anyMatch(Session::busy) ? "busy" : "online";
    }
}
