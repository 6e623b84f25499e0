package id.betang.purse;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;

import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

import com.licel.jcardsim.bouncycastle.crypto.engines.AESEngine;
import com.licel.jcardsim.bouncycastle.crypto.macs.CMac;
import com.licel.jcardsim.bouncycastle.crypto.params.KeyParameter;
import org.globalplatform.SecureChannel;

/**
 * SCP03 at the card's end (GPC Amd D; AES-128, S8, random challenges, i = 60), as the tests' security
 * domain and, through GlobalPlatform's API, the applet use it.
 */
final class TestChannel implements SecureChannel {
    static final int INITIALIZE_UPDATE = 0x50;
    private static final int MAC = 8;
    private static final int BLOCK = 16;
    private static final int KVN = 0x30;
    private static final int ALL = C_MAC | C_DECRYPTION | R_MAC | R_ENCRYPTION;

    private final byte[] key;
    private final SecureRandom random = new SecureRandom();
    private byte[] enc;
    private byte[] mac;
    private byte[] rmac;
    private byte[] hostCryptogram;
    private byte[] chain;
    private int counter;
    private int level;

    /** One key for ENC and MAC, as the suite's cards have it. */
    TestChannel(byte[] key) {
        this.key = key;
    }

    boolean open() {
        return level != NO_SECURITY_LEVEL;
    }

    /** The answer's data to INITIALIZE UPDATE or EXTERNAL AUTHENTICATE (a whole command). */
    byte[] opening(byte[] c) {
        byte[] data = Arrays.copyOfRange(c, 5, 5 + (c[4] & 0xFF));
        if ((c[1] & 0xFF) == INITIALIZE_UPDATE) {
            return initializeUpdate(data);
        }
        externalAuthenticate(c, data);
        return new byte[0];
    }

    private byte[] initializeUpdate(byte[] challenge) {
        resetSecurity();
        if (challenge.length != MAC) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        byte[] own = new byte[MAC];
        random.nextBytes(own);
        byte[] context = ByteBuffer.allocate(2 * MAC).put(challenge).put(own).array();
        enc = derive(key, 4, BLOCK, context);
        mac = derive(key, 6, BLOCK, context);
        rmac = derive(key, 7, BLOCK, context);
        hostCryptogram = derive(mac, 1, MAC, context);
        return ByteBuffer.allocate(29).put(new byte[10]).put((byte) KVN).put((byte) 3)
            .put((byte) 0x60).put(own).put(derive(mac, 0, MAC, context)).array();
    }

    private void externalAuthenticate(byte[] c, byte[] data) {
        byte[] expected = hostCryptogram;
        hostCryptogram = null;
        if (expected == null || data.length != 2 * MAC || (c[2] & ~ALL) != 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        byte[] made = cmac(mac, new byte[BLOCK], Arrays.copyOf(c, 5 + MAC));
        if (!Arrays.equals(Arrays.copyOf(made, MAC), Arrays.copyOfRange(data, MAC, 2 * MAC))
            || !Arrays.equals(expected, Arrays.copyOf(data, MAC))) {
            ISOException.throwIt((short) 0x6300);
        }
        chain = made;
        counter = 0;
        level = AUTHENTICATED & 0xFF | c[2];
    }

    @Override
    public short processSecurity(APDU apdu) {
        byte[] buf = apdu.getBuffer();
        apdu.setIncomingAndReceive();
        byte[] answer = opening(buf);
        System.arraycopy(answer, 0, buf, ISO7816.OFFSET_CDATA, answer.length);
        return (short) answer.length;
    }

    @Override
    public short unwrap(byte[] buf, short at, short n) {
        if ((buf[at] & 4) == 0 || (level & C_MAC) == 0) {
            return n;
        }
        int size = n - 5 - MAC;
        byte[] macked = Arrays.copyOfRange(buf, at, at + n - MAC);
        byte[] made = size < 0 ? null : cmac(mac, chain, macked);
        if (made == null || !Arrays.equals(Arrays.copyOf(made, MAC),
            Arrays.copyOfRange(buf, at + n - MAC, at + n))) {
            resetSecurity();
            ISOException.throwIt(ISO7816.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
        chain = made;
        counter++;
        byte[] data = Arrays.copyOfRange(macked, 5, macked.length);
        if ((level & C_DECRYPTION) != 0 && size > 0) {
            byte[] plain = cbc(Cipher.DECRYPT_MODE, data, 0);
            int end = plain.length - 1;
            while (plain[end] == 0) {
                end--;
            }
            data = Arrays.copyOf(plain, end);
        }
        System.arraycopy(data, 0, buf, at + 5, data.length);
        buf[at] &= ~4;
        buf[at + 4] = (byte) data.length;
        return (short) (5 + data.length);
    }

    /** Data and status word there; data and MAC here. */
    @Override
    public short wrap(byte[] buf, short at, short n) {
        short data = (short) (n - 2);
        if ((level & R_MAC) == 0) {
            return data;
        }
        short sw = Util.getShort(buf, (short) (at + data));
        byte[] clear = Arrays.copyOfRange(buf, at, at + data);
        if ((level & R_ENCRYPTION) != 0 && data > 0) {
            byte[] padded = Arrays.copyOf(clear, (data / BLOCK + 1) * BLOCK);
            padded[data] = (byte) 0x80;
            clear = cbc(Cipher.ENCRYPT_MODE, padded, 0x80);
        }
        byte[] signed = ByteBuffer.allocate(clear.length + 2).put(clear).putShort(sw).array();
        System.arraycopy(clear, 0, buf, at, clear.length);
        System.arraycopy(cmac(rmac, chain, signed), 0, buf, at + clear.length, MAC);
        return (short) (clear.length + MAC);
    }

    @Override
    public void resetSecurity() {
        level = NO_SECURITY_LEVEL;
        hostCryptogram = null;
    }

    @Override
    public byte getSecurityLevel() {
        return (byte) level;
    }

    private byte[] cbc(int mode, byte[] data, int first) {
        try {
            SecretKeySpec secret = new SecretKeySpec(enc, "AES");
            Cipher block = Cipher.getInstance("AES/ECB/NoPadding");
            block.init(Cipher.ENCRYPT_MODE, secret);
            byte[] iv = block.doFinal(ByteBuffer.allocate(BLOCK).put((byte) first)
                .putInt(BLOCK - 4, counter).array());
            Cipher cipher = Cipher.getInstance("AES/CBC/NoPadding");
            cipher.init(mode, secret, new IvParameterSpec(iv));
            return cipher.doFinal(data);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static byte[] derive(byte[] key, int constant, int size, byte[] context) {
        byte[] head = new byte[BLOCK];
        head[11] = (byte) constant;
        head[14] = (byte) (size * 8);
        head[15] = 1;
        return Arrays.copyOf(cmac(key, head, context), size);
    }

    private static byte[] cmac(byte[] key, byte[] first, byte[] second) {
        CMac mac = new CMac(new AESEngine());
        mac.init(new KeyParameter(key));
        mac.update(first, 0, first.length);
        mac.update(second, 0, second.length);
        byte[] made = new byte[BLOCK];
        mac.doFinal(made, 0);
        return made;
    }
}
