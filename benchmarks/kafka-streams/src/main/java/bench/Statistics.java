package bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Number of records; mean, sum of squared deviations and moving average of three values: 80 bytes. */
final class Statistics implements Step {
    private static final int BYTES = 80;
    private static final double WEIGHT = 0.1;
    private static final long EVERY = 101;

    @Override
    public byte[] step(byte[] state, Telemetry record) {
        byte[] next = new byte[BYTES];
        ByteBuffer to = ByteBuffer.wrap(next).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer from = ByteBuffer.wrap(state == null ? next : state).order(ByteOrder.LITTLE_ENDIAN);
        long n = from.getLong(0) + 1;
        to.putLong(0, n);
        take(from, to, 0, n, record.t1);
        take(from, to, 1, n, record.t2);
        take(from, to, 2, n, record.t3);
        return next;
    }

    private static void take(ByteBuffer from, ByteBuffer to, int place, long n, double value) {
        int mean = 8 + 8 * place;
        int m2 = mean + 24;
        int average = mean + 48;
        double old = from.getDouble(mean);
        double off = value - old;
        double now = old + off / n;
        double smooth = from.getDouble(average);
        to.putDouble(m2, from.getDouble(m2) + off * (value - now));
        to.putDouble(average, n == 1 ? value : smooth + WEIGHT * (value - smooth));
        to.putDouble(mean, now);
    }

    @Override
    public byte[] report(byte[] state, Telemetry record) {
        if (record.timeNs / 1000 % EVERY != 0) {
            return null;
        }
        ByteBuffer from = ByteBuffer.wrap(state).order(ByteOrder.LITTLE_ENDIAN);
        double freedom = Math.max(from.getLong(0) - 1, 1);
        StringBuilder text = new StringBuilder(256).append("{\"time\":").append(record.timeNs);
        text.append(",\"mean\":");
        three(text, from, 8, 1);
        text.append(",\"variance\":");
        three(text, from, 32, freedom);
        text.append(",\"average\":");
        three(text, from, 56, 1);
        return text.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    private static void three(StringBuilder text, ByteBuffer from, int at, double divisor) {
        text.append('[').append(from.getDouble(at) / divisor);
        text.append(',').append(from.getDouble(at + 8) / divisor);
        text.append(',').append(from.getDouble(at + 16) / divisor).append(']');
    }
}
