package id.betang.purse;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;

import jdk.net.ExtendedSocketOptions;

/**
 * Serves the purse in jCardSim behind length-framed APDUs on 127.0.0.1: one chip per connection.
 *
 * <p>Frames as card_os/host/socketlink.py has them, both ways kind(1), length(2), data: 00 off, 01 on,
 * 02 APDU; a chip is then a card with the purse alone, installed by {@code --install}. For the
 * security domain in front (card_os/reference/external.py) beside them:
 *
 * <pre>
 * 10 INSTALL  AID length(1), AID, C9       10, status word(2)
 * 11 COMMAND  interface(1), SCP03 level(1, FF none), tear before(2, FFFF never), C-APDU
 *                                          11, torn(1), changed(1), writes(2), largest
 *                                              transaction(2), R-APDU (none when torn)
 * 12 SAVE                                  12, state
 * 13 RESTORE  state                        13
 * 14 RESET                                 14
 * 15 PLANT    a bug: each transaction's first write is made outside it
 *                                          15
 * 16 DESELECT                              16
 * 17 MARK     note this moment             17
 * 18 REWIND   come back to it, RAM included  18
 * </pre>
 *
 * <p>The port is the first line of the standard output; the process ends with its standard input.
 */
public final class Host {
    private static final int OFF = 0x00;
    private static final int ON = 0x01;
    private static final int APDU = 0x02;
    private static final int INSTALL = 0x10;
    private static final int COMMAND = 0x11;
    private static final int SAVE = 0x12;
    private static final int RESTORE = 0x13;
    private static final int RESET = 0x14;
    private static final int PLANT = 0x15;
    private static final int DESELECT = 0x16;
    private static final int MARK = 0x17;
    private static final int REWIND = 0x18;
    private static final int NEVER = 0xFFFF;
    private static final byte[] NONE = {};
    // card_os/icc.py, ATR_T1
    private static final byte[] ATR = HexFormat.of().parseHex("3B888131FE458056424554414E474E");
    private static final byte[] AID = HexFormat.of().parseHex("F0424554414E4700");

    private final Chip chip = new Chip();
    private boolean powered;

    private Host(byte[] parameters) {
        if (parameters.length > 0) {
            byte[] aid = AID.clone();
            aid[7] = (byte) (parameters[0] & 0x7F);
            chip.install(aid, parameters);
            chip.contactless(false);
        }
    }

    /** {@code [--install C9 in hex]}. */
    public static void main(String[] args) throws IOException {
        byte[] parameters = args.length == 2 ? HexFormat.of().parseHex(args[1]) : NONE;
        try (ServerSocket server = new ServerSocket(0, 64, InetAddress.getByName("127.0.0.1"))) {
            System.out.println(server.getLocalPort());
            System.out.flush();
            System.setOut(new PrintStream(OutputStream.nullOutputStream()));  // jCardSim chats
            endWithParent();
            while (true) {
                Socket socket = server.accept();
                Thread thread = new Thread(() -> serve(socket, parameters));
                thread.setDaemon(true);
                thread.start();
            }
        }
    }

    private static void endWithParent() {
        Thread thread = new Thread(() -> {
            try {
                while (System.in.read() != -1) {
                    continue;
                }
            } catch (IOException e) {
                // as if it had ended
            }
            System.exit(0);
        });
        thread.setDaemon(true);
        thread.start();
    }

    private static void serve(Socket socket, byte[] parameters) {
        try (socket) {
            socket.setTcpNoDelay(true);
            DataInputStream in = new DataInputStream(
                new BufferedInputStream(socket.getInputStream()));
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            Host host = new Host(parameters);
            while (true) {
                quickAck(socket);
                int kind = in.readUnsignedByte();
                byte[] data = in.readNBytes(in.readUnsignedShort());
                host.answer(out, kind, data);
            }
        } catch (EOFException | SocketException e) {
            return;  // the other end closed it: the chip is gone
        } catch (IOException | UncheckedIOException e) {
            System.err.println("betang applet host: " + e.getMessage());
        }
    }

    /** Without it every answer of the other end may wait 40 ms for our acknowledgement. */
    private static void quickAck(Socket socket) throws IOException {
        if (socket.supportedOptions().contains(ExtendedSocketOptions.TCP_QUICKACK)) {
            socket.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
        }
    }

    private void answer(DataOutputStream out, int kind, byte[] data) throws IOException {
        switch (kind) {
            case OFF -> {
                powered = false;
                chip.reset();
                send(out, OFF, NONE);
            }
            case ON -> {
                powered = chip.installed();
                chip.reset();
                send(out, powered ? ON : OFF, powered ? ATR : NONE);
            }
            case APDU -> {
                byte[] answer = powered ? chip.transmit(data) : NONE;
                send(out, answer.length > 0 ? APDU : OFF, answer);
            }
            case INSTALL -> {
                byte[] aid = Arrays.copyOfRange(data, 1, 1 + data[0]);
                int sw = chip.install(aid, Arrays.copyOfRange(data, 1 + data[0], data.length));
                send(out, INSTALL, new byte[] {(byte) (sw >> 8), (byte) sw});
            }
            case COMMAND -> send(out, COMMAND, command(ByteBuffer.wrap(data)));
            case SAVE -> send(out, SAVE, State.save(chip.store()));
            case RESTORE -> {
                State.restore(chip.store(), data);
                send(out, RESTORE, NONE);
            }
            case RESET -> {
                chip.reset();
                send(out, RESET, NONE);
            }
            case PLANT -> {
                chip.store().firstPutOutside = true;
                send(out, PLANT, NONE);
            }
            case DESELECT -> {
                chip.purse().deselect();
                send(out, DESELECT, NONE);
            }
            case MARK -> {
                chip.mark();
                send(out, MARK, NONE);
            }
            case REWIND -> {
                chip.rewind();
                send(out, REWIND, NONE);
            }
            default -> throw new EOFException("a frame of an unknown kind");
        }
    }

    private byte[] command(ByteBuffer asked) {
        TearingStore store = chip.store();
        chip.contactless(asked.get() == 2);
        chip.gate().level = asked.get() & 0xFF;
        int tear = asked.getShort() & 0xFFFF;
        store.tearBefore = tear == NEVER ? -1 : tear;
        int before = store.writes;
        store.changed = false;
        store.largestTransaction = 0;
        byte[] apdu = new byte[asked.remaining()];
        asked.get(apdu);
        byte[] answer = chip.transmit(apdu);
        boolean torn = tear != NEVER && store.torn;
        store.torn = false;
        byte[] shown = torn ? NONE : answer;
        return ByteBuffer.allocate(6 + shown.length)
            .put((byte) (torn ? 1 : 0)).put((byte) (torn || store.changed ? 1 : 0))
            .putShort((short) (store.writes - before)).putShort((short) store.largestTransaction)
            .put(shown).array();
    }

    private static void send(DataOutputStream out, int kind, byte[] data) throws IOException {
        byte[] frame = new byte[3 + data.length];
        frame[0] = (byte) kind;
        frame[1] = (byte) (data.length >> 8);
        frame[2] = (byte) data.length;
        System.arraycopy(data, 0, frame, 3, data.length);
        out.write(frame);
        out.flush();
    }
}
