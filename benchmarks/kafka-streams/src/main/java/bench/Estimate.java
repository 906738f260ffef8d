package bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The incubator's Kalman filter: temperatures of heater and air, their covariance, measurement and error: 56 bytes. */
final class Estimate implements Step {
    private static final double C_AIR = 267.55929458;
    private static final double G_BOX = 0.5763498;
    private static final double C_HEATER = 329.25376821;
    private static final double G_HEATER = 1.67053237;
    private static final double HEATING_PER_S = 12.15579391 * 1.53551347 / C_HEATER;
    private static final double H = 3.0;
    private static final double NOISE = 0.001;

    private static final double A = H * G_HEATER / C_HEATER;
    private static final double B = H * G_HEATER / C_AIR;
    private static final double C = H * G_BOX / C_AIR;
    private static final double SCALE = 1.0 / (1.0 + A + B + C + A * C);
    private static final double F00 = SCALE * (1.0 + B + C);
    private static final double F01 = SCALE * A;
    private static final double F10 = SCALE * B;
    private static final double F11 = SCALE * (1.0 + A);
    private static final double Q = NOISE * NOISE * H * H;
    private static final double Q00 = Q * H * H / 4.0;
    private static final double Q01 = Q * H / 2.0;

    @Override
    public byte[] step(byte[] state, Telemetry record) {
        double heater = 21.0;
        double air = 21.0;
        double p00 = NOISE;
        double p01 = 0.0;
        double p11 = NOISE;
        if (state != null) {
            ByteBuffer from = ByteBuffer.wrap(state).order(ByteOrder.LITTLE_ENDIAN);
            heater = from.getDouble(0);
            air = from.getDouble(8);
            p00 = from.getDouble(16);
            p01 = from.getDouble(24);
            p11 = from.getDouble(32);
        }
        double average = (record.t1 + record.t2) / 2.0;
        double heating = record.heaterOn ? H * HEATING_PER_S : 0.0;
        double room = C * record.t3;
        double nextHeater = F00 * heater + F01 * air + F00 * heating + F01 * room;
        double nextAir = F10 * heater + F11 * air + F10 * heating + F11 * room;
        double a00 = F00 * p00 + F01 * p01;
        double a01 = F00 * p01 + F01 * p11;
        double a10 = F10 * p00 + F11 * p01;
        double a11 = F10 * p01 + F11 * p11;
        p00 = a00 * F00 + a01 * F01 + Q00;
        p01 = a00 * F10 + a01 * F11 + Q01;
        p11 = a10 * F10 + a11 * F11 + Q;
        double s = p11 + NOISE;
        double innovation = average - nextAir;
        heater = nextHeater + p01 * innovation / s;
        air = nextAir + p11 * innovation / s;

        byte[] next = new byte[56];
        ByteBuffer to = ByteBuffer.wrap(next).order(ByteOrder.LITTLE_ENDIAN);
        to.putDouble(0, heater);
        to.putDouble(8, air);
        to.putDouble(16, p00 - p01 * p01 / s);
        to.putDouble(24, p01 - p01 * p11 / s);
        to.putDouble(32, p11 - p11 * p11 / s);
        to.putDouble(40, average);
        to.putDouble(48, average - air);
        return next;
    }

    @Override
    public byte[] report(byte[] state, Telemetry record) {
        return null;
    }
}
