package id.betang.purse;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyPair;

/**
 * All persistent memory of an instance as bytes, private keys and PINs included: for tests and for
 * cards in software only. In order of allocation: arrays (length(2), bytes), PINs (length(1), digits,
 * tries(1)), key pairs (made(1), scalar(32), point(65)), public keys (set(1), point(65)).
 */
final class State {
    private State() {
    }

    static byte[] save(TearingStore store) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            for (byte[] array : store.arrays) {
                out.writeShort(array.length);
                out.write(array);
            }
            for (TearingStore.PinCopy copy : store.pins) {
                out.writeByte(copy.value.length);
                out.write(copy.value);
                out.writeByte(copy.pin.getTriesRemaining());
            }
            for (KeyPair pair : store.pairs) {
                save(out, (ECPrivateKey) pair.getPrivate());
                save(out, (ECPublicKey) pair.getPublic());
            }
            for (ECPublicKey key : store.points) {
                out.writeBoolean(key.isInitialized());
                save(out, key);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    private static void save(DataOutputStream out, ECPrivateKey key) throws IOException {
        byte[] scalar = new byte[Curve.FIELD_BYTES];
        out.writeBoolean(key.isInitialized());
        if (key.isInitialized()) {
            byte[] got = new byte[Curve.FIELD_BYTES];
            short n = key.getS(got, (short) 0);
            System.arraycopy(got, 0, scalar, Curve.FIELD_BYTES - n, n);
        }
        out.write(scalar);
    }

    private static void save(DataOutputStream out, ECPublicKey key) throws IOException {
        byte[] point = new byte[Curve.POINT_BYTES];
        if (key.isInitialized()) {
            key.getW(point, (short) 0);
        }
        out.write(point);
    }

    static void restore(TearingStore store, byte[] saved) {
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(saved))) {
            for (byte[] array : store.arrays) {
                if (in.readUnsignedShort() != array.length) {
                    throw new IOException("another applet's memory");
                }
                in.readFully(array);
            }
            for (TearingStore.PinCopy copy : store.pins) {
                byte[] value = in.readNBytes(in.readUnsignedByte());
                if (value.length > 0) {
                    copy.update(value);
                }
                byte tries = in.readByte();
                while (copy.pin.getTriesRemaining() > tries) {
                    copy.fail();
                }
            }
            for (KeyPair pair : store.pairs) {
                boolean made = in.readBoolean();
                byte[] scalar = in.readNBytes(Curve.FIELD_BYTES);
                byte[] point = in.readNBytes(Curve.POINT_BYTES);
                if (made) {
                    ((ECPrivateKey) pair.getPrivate()).setS(scalar, (short) 0, Curve.FIELD_BYTES);
                    ((ECPublicKey) pair.getPublic()).setW(point, (short) 0, Curve.POINT_BYTES);
                }
            }
            for (ECPublicKey key : store.points) {
                boolean set = in.readBoolean();
                byte[] point = in.readNBytes(Curve.POINT_BYTES);
                if (set) {
                    key.setW(point, (short) 0, Curve.POINT_BYTES);
                }
            }
            if (in.read() != -1) {
                throw new IOException("bytes left over");
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
