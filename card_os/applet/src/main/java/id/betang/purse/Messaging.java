package id.betang.purse;

import javacard.framework.ISO7816;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;

/** Secure messaging of a session: SCP03's level 33 with S8 (GPC Amd D §6.2), the card's end. */
final class Messaging {
    static final short MAC_BYTES = 8;
    static final short KEY_BYTES = 16;

    private final Ram ram;
    private final Cmac cmac;
    private final AESKey enc;
    private final AESKey mac;
    private final AESKey rmac;

    Messaging(Ram ram, Cmac cmac) {
        this.ram = ram;
        this.cmac = cmac;
        enc = key();
        mac = key();
        rmac = key();
    }

    private static AESKey key() {
        return (AESKey) KeyBuilder.buildKey(
            KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false);
    }

    /** Forget the keys. */
    void close() {
        enc.clearKey();
        mac.clearKey();
        rmac.clearKey();
    }

    /**
     * Begin with receipt key, S-ENC, S-MAC and S-RMAC at {@code at} of the work buffer, the
     * receipt's message in work[0, n). The receipt becomes the chaining value.
     */
    void open(short n, short at) {
        byte[] s = ram.session;
        rmac.setKey(ram.work, at);
        cmac.subkey(rmac, s, Ram.SUBKEY_RMAC);
        cmac.mac(rmac, s, Ram.SUBKEY_RMAC, ram.work, n, s, Ram.CHAIN);
        enc.setKey(ram.work, (short) (at + KEY_BYTES));
        mac.setKey(ram.work, (short) (at + 2 * KEY_BYTES));
        rmac.setKey(ram.work, (short) (at + 3 * KEY_BYTES));
        cmac.subkey(mac, s, Ram.SUBKEY_MAC);
        cmac.subkey(rmac, s, Ram.SUBKEY_RMAC);
        Util.arrayFillNonAtomic(s, Ram.COUNTER, Cmac.BLOCK, (byte) 0);
    }

    /** Check and decipher a command in place; the length of its data, -1 when anything is wrong. */
    short unwrap(byte[] buf, short lc) {
        byte[] s = ram.session;
        short n = (short) (lc - MAC_BYTES);
        if (n < 0 || (n & 0x0F) != 0) {
            return -1;
        }
        short at = ISO7816.OFFSET_CDATA;
        byte[] w = ram.work;
        Util.arrayCopyNonAtomic(s, Ram.CHAIN, w, (short) 0, Cmac.BLOCK);
        Util.arrayCopyNonAtomic(buf, (short) 0, w, Cmac.BLOCK, (short) 4);
        w[(short) (Cmac.BLOCK + 4)] = (byte) lc;
        Util.arrayCopyNonAtomic(buf, at, w, (short) (Cmac.BLOCK + at), n);
        cmac.mac(mac, s, Ram.SUBKEY_MAC, w, (short) (Cmac.BLOCK + at + n), s, Ram.BLOCK);
        if (!Bytes.same(s, Ram.BLOCK, buf, (short) (at + n), MAC_BYTES)) {
            return -1;
        }
        Util.arrayCopyNonAtomic(s, Ram.BLOCK, s, Ram.CHAIN, Cmac.BLOCK);
        count();
        if (n == 0) {
            return 0;
        }
        icv((byte) 0);
        cmac.decrypt(enc, s, Ram.BLOCK, buf, at, n);
        return unpad(buf, at, n);
    }

    /** Protect work[0, n) as the answer with {@code sw}; it lies at buf[0], its length returned. */
    short wrap(byte[] buf, short n, short sw) {
        byte[] s = ram.session;
        short length = n;
        Util.arrayCopyNonAtomic(ram.work, (short) 0, buf, (short) 0, n);
        if (n != 0) {
            length = (short) ((short) (n + Cmac.BLOCK) & (short) 0xFFF0);
            buf[n] = (byte) 0x80;
            Util.arrayFillNonAtomic(buf, (short) (n + 1), (short) (length - n - 1), (byte) 0);
            icv((byte) 0x80);
            cmac.encrypt(enc, s, Ram.BLOCK, buf, (short) 0, length);
        }
        byte[] w = ram.work;
        Util.arrayCopyNonAtomic(s, Ram.CHAIN, w, (short) 0, Cmac.BLOCK);
        Util.arrayCopyNonAtomic(buf, (short) 0, w, Cmac.BLOCK, length);
        Util.setShort(w, (short) (Cmac.BLOCK + length), sw);
        short covered = (short) (Cmac.BLOCK + length + 2);
        cmac.mac(rmac, s, Ram.SUBKEY_RMAC, w, covered, s, Ram.BLOCK);
        Util.arrayCopyNonAtomic(s, Ram.BLOCK, buf, length, MAC_BYTES);
        return (short) (length + MAC_BYTES);
    }

    /** The encryption counter steps for every command; a session has far fewer than 2^16. */
    private void count() {
        byte[] s = ram.session;
        U32.next(s, (short) (Ram.COUNTER + 12), s, (short) (Ram.COUNTER + 12));
    }

    private void icv(byte first) {
        byte[] s = ram.session;
        s[Ram.COUNTER] = first;
        cmac.block(enc, s, Ram.COUNTER, s, Ram.BLOCK);
    }

    private static short unpad(byte[] buf, short at, short n) {
        short end = (short) (at + n - 1);
        short lowest = (short) (at + n - Cmac.BLOCK);
        while (end > lowest && buf[end] == 0) {
            end--;
        }
        return buf[end] == (byte) 0x80 ? (short) (end - at) : (short) -1;
    }
}
