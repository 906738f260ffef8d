package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.io.UncheckedIOException;

/** One record's payload, decoded into the same object again and again. */
final class Telemetry {
    private static final JsonFactory FACTORY =
        JsonFactory.builder().enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER).build();

    double t1;
    double t2;
    double t3;
    boolean heaterOn;
    long timeNs;

    void decode(byte[] payload) {
        try (JsonParser parser = FACTORY.createParser(payload)) {
            parser.nextToken();
            String name;
            while ((name = parser.nextFieldName()) != null) {
                JsonToken token = parser.nextToken();
                switch (name) {
                    case "t1" -> t1 = parser.getDoubleValue();
                    case "t2" -> t2 = parser.getDoubleValue();
                    case "t3" -> t3 = parser.getDoubleValue();
                    case "heater_on" -> heaterOn = token == JsonToken.VALUE_TRUE;
                    case "time" -> timeNs = parser.getLongValue();
                    default -> { }
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
