package id.betang.purse;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Set;

import com.licel.jcardsim.base.SimulatorRuntime;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.ISOException;
import org.globalplatform.GPSystem;

/**
 * A whole card in Java: the purse with its real Gate behind a security domain that knows SELECT, SCP03,
 * DELETE and INSTALL and nothing else. The purse's own commands and its SCP03 session run as on a chip.
 */
final class TestCard {
    private static final HexFormat HEX = HexFormat.of();
    private static final byte[] DOMAIN = HEX.parseHex("A000000151000000");
    private static final byte[] FCI =
        HEX.parseHex("6F108408A000000151000000A5049F6501FF9000");
    private static final int SELECT = 0xA4;
    private static final int DELETE = 0xE4;
    private static final int INSTALL = 0xE6;
    private static final int FOR_INSTALL = 0x0C;

    private final TestChannel channel;
    private final Platform runtime = new Platform();
    private final Set<String> purses = new HashSet<>();  // AIDs in hex
    private final Set<String> loaded = new HashSet<>();
    private boolean inPurse;

    /** jCardSim lets only a subclass delete. */
    private static final class Platform extends SimulatorRuntime {
        void remove(AID aid) {
            deleteApplet(aid);
        }
    }

    TestCard(byte[] key) {
        channel = new TestChannel(key);
    }

    void reset() {
        GPSystem.CHANNEL.set(channel);
        runtime.reset();
        channel.resetSecurity();
        inPurse = false;
    }

    byte[] transmit(byte[] c) {
        GPSystem.CHANNEL.set(channel);
        if (c.length < 4) {
            return status(0x6700);
        }
        if (c[0] == 0 && (c[1] & 0xFF) == SELECT && c[2] == 4) {
            return select(c);
        }
        if (inPurse) {
            return runtime.transmitCommand(c);
        }
        try {
            return domain(c);
        } catch (ISOException e) {
            return status(e.getReason());
        }
    }

    private byte[] select(byte[] c) {
        byte[] aid = c.length > 5 ? Arrays.copyOfRange(c, 5, 5 + (c[4] & 0xFF)) : new byte[0];
        if (Arrays.equals(aid, Arrays.copyOf(DOMAIN, aid.length))) {
            reset();
            return FCI;
        }
        if (!purses.contains(HEX.formatHex(aid))) {
            return status(0x6A82);
        }
        if (!inPurse) {
            reset();
        }
        inPurse = true;
        return runtime.transmitCommand(c);
    }

    private byte[] domain(byte[] c) {
        int ins = c[1] & 0xFF;
        if (ins == TestChannel.INITIALIZE_UPDATE || ins == 0x82) {
            return answer(channel.opening(c), 0x9000);
        }
        if (!channel.open()) {
            return status(0x6982);
        }
        int lc = c[4] & 0xFF;
        byte[] buf = Arrays.copyOf(c, 300);
        int n = channel.unwrap(buf, (short) 0, (short) (5 + lc));
        int sw = content(ins, c[2] & 0xFF, Arrays.copyOfRange(buf, 5, n));
        if (sw != 0x9000) {
            return status(sw);
        }
        byte[] out = Arrays.copyOf(new byte[] {0, (byte) 0x90, 0}, 300);
        int size = channel.wrap(out, (short) 0, (short) 3);
        return answer(Arrays.copyOf(out, size), sw);
    }

    /** DELETE and INSTALL; the status word. */
    private int content(int ins, int p1, byte[] data) {
        if (ins == DELETE) {
            byte[] gone = Arrays.copyOfRange(data, 2, data.length);
            if (!purses.remove(HEX.formatHex(gone))) {
                return 0x6A88;
            }
            runtime.remove(new AID(gone, (short) 0, (byte) gone.length));
            return 0x9000;
        }
        if (ins != INSTALL || p1 != FOR_INSTALL) {
            return 0x6D00;
        }
        byte[][] field = new byte[5][];
        int at = 0;
        for (int i = 0; i < field.length; i++) {
            field[i] = Arrays.copyOfRange(data, at + 1, at + 1 + data[at]);
            at += 1 + data[at];
        }
        if (purses.contains(HEX.formatHex(field[2]))) {
            return 0x6985;
        }
        return install(field[2], Arrays.copyOfRange(field[4], 2, field[4].length));
    }

    private int install(byte[] instance, byte[] parameters) {
        byte[] a = ByteBuffer.allocate(3 + instance.length + parameters.length)
            .put((byte) instance.length).put(instance).put((byte) 0)
            .put((byte) parameters.length).put(parameters).array();
        AID name = new AID(instance, (short) 0, (byte) instance.length);
        try {
            if (loaded.add(HEX.formatHex(instance))) {
                runtime.loadApplet(name, DomainPurse.class);
            }
            runtime.installApplet(name, a, (short) 0, (byte) a.length);
        } catch (ISOException e) {
            return e.getReason() & 0xFFFF;
        }
        runtime.changeProtocol(APDU.PROTOCOL_T1);
        purses.add(HEX.formatHex(instance));
        return 0x9000;
    }

    private static byte[] status(int sw) {
        return answer(new byte[0], sw);
    }

    private static byte[] answer(byte[] data, int sw) {
        return ByteBuffer.allocate(data.length + 2).put(data).putShort((short) sw).array();
    }
}
