package bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;

/** Times a run and writes its report, a line of JSON each. */
final class Watch {
    private final Path report;
    private final long warmUp;
    private final AtomicLong done = new AtomicLong();
    private volatile long startedNs;
    private volatile long startedCpuNs;

    Watch(Path report, long warmUp) {
        this.report = report;
        this.warmUp = warmUp;
    }

    /** One more record; the first after the warm-up starts the watch. Called by one thread. */
    void count() {
        long now = done.get();
        if (now == warmUp) {
            startedCpuNs = cpuNs();
            startedNs = System.nanoTime();
        }
        done.lazySet(now + 1);
    }

    long done() {
        return done.get();
    }

    void progress() {
        write(String.format(Locale.ROOT, "{\"type\":\"progress\",\"records\":%d}%n", done.get()));
    }

    void finish() {
        double seconds = (System.nanoTime() - startedNs) / 1e9;
        double cpuSeconds = (cpuNs() - startedCpuNs) / 1e9;
        write(String.format(Locale.ROOT,
            "{\"type\":\"finished\",\"records\":%d,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"detail\":{}}%n",
            done.get() - warmUp, seconds, cpuSeconds));
    }

    private static long cpuNs() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime();
    }

    private void write(String line) {
        try {
            Files.writeString(report, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
