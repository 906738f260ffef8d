package bench;

/** What happens to one record of a twin. */
interface Step {
    /** Give the new state of a twin; {@code state} is null before its first record. */
    byte[] step(byte[] state, Telemetry record);

    /** What is reported of the new state, null for nothing. */
    byte[] report(byte[] state, Telemetry record);

    static Step of(String kind) {
        return switch (kind) {
            case "statistics" -> new Statistics();
            case "incubator" -> new Estimate();
            default -> throw new IllegalArgumentException("no job " + kind);
        };
    }
}
