package id.betang.purse;

import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.HexFormat;

import jdk.net.ExtendedSocketOptions;

/**
 * Puts a {@link TestCard} into a virtual reader: speaks vpcd's protocol over the TCP socket that is this
 * process's standard input (vpcd lives in a network namespace of its own; tests/support/applet_card.py
 * hands the socket over). The card is in as long as the socket is open; its memory dies with us.
 *
 * <p>A message is length(2), data: one byte is an order (00 off, 01 on, 02 reset, 04 ATR), more is an
 * APDU.
 */
public final class VpcdConnector {
    private static final int OFF = 0;
    private static final int ON = 1;
    private static final int RESET = 2;
    private static final int ATR = 4;
    // card_os/icc.py, ATR_T1
    private static final byte[] ATR_T1 = HexFormat.of().parseHex("3B888131FE458056424554414E474E");

    private final SocketChannel reader;
    private final TestCard card;

    private VpcdConnector(SocketChannel reader, TestCard card) {
        this.reader = reader;
        this.card = card;
    }

    /** {@code KEY}: the security domain's AES-128 key, in hex. */
    public static void main(String[] args) throws IOException {
        System.setOut(new PrintStream(OutputStream.nullOutputStream()));  // jCardSim chats
        SocketChannel reader = (SocketChannel) System.inheritedChannel();
        reader.setOption(StandardSocketOptions.TCP_NODELAY, true);
        try {
            new VpcdConnector(reader, new TestCard(HexFormat.of().parseHex(args[0]))).serve();
        } catch (EOFException e) {
            return;  // the reader went away
        }
    }

    private void serve() throws IOException {
        while (true) {
            byte[] message = read(Short.toUnsignedInt(read(2).getShort())).array();
            if (message.length != 1) {
                send(card.transmit(message));
                continue;
            }
            switch (message[0]) {
                case OFF, ON, RESET -> card.reset();
                case ATR -> send(ATR_T1);
                default -> throw new IOException("an order that vpcd does not have");
            }
        }
    }

    private ByteBuffer read(int size) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(size);
        while (buffer.hasRemaining()) {
            // Without it the kernel delays its ACK, and vpcd's Nagle the next command, by 40 ms.
            reader.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
            if (reader.read(buffer) < 0) {
                throw new EOFException();
            }
        }
        return buffer.flip();
    }

    private void send(byte[] data) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(2 + data.length).putShort((short) data.length)
            .put(data).flip();
        while (frame.hasRemaining()) {
            reader.write(frame);
        }
    }
}
