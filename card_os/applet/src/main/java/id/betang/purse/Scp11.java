package id.betang.purse;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.CryptoException;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;
import javacard.security.MessageDigest;
import javacard.security.PrivateKey;
import javacard.security.ECPrivateKey;

/** MUTUAL AUTHENTICATE, the card's end of SCP11a (GPC Amd F): one parameter set, both ephemeral. */
final class Scp11 {
    private static final byte[] CONTROL_REFERENCE = {
        (byte) 0xA6, 0x0D, (byte) 0x90, 0x02, 0x11, 0x01, (byte) 0x95, 0x01, 0x3C,
        (byte) 0x80, 0x01, (byte) 0x88, (byte) 0x81, 0x01, 0x10};
    private static final byte[] EPHEMERAL = {0x5F, 0x49, 0x41};
    private static final byte[] SHARED_INFO = {0x3C, (byte) 0x88, 0x10};
    private static final short REFERENCE_BYTES = 15;
    private static final short TLV_BYTES = 68;
    /** 15 + 68. */
    private static final short COMMAND_BYTES = 83;
    /** Receipt key, S-ENC, S-MAC, S-RMAC, DEK (unused): 80 of the 96 bytes of three hashes. */
    private static final short KEYS = 192;

    private final Ram ram;
    private final Store store;
    private final Curve curve;
    private final Messaging messaging;
    private final MessageDigest sha;
    private final KeyPair ephemeral;
    private final boolean inRam;

    Scp11(Ram ram, Store store, Curve curve, Messaging messaging, MessageDigest sha) {
        this.ram = ram;
        this.store = store;
        this.curve = curve;
        this.messaging = messaging;
        this.sha = sha;
        PrivateKey key = keyInRam();
        inRam = key != null;
        ephemeral = store.ephemeralPair(key);
    }

    /** A fresh pair; clearing the private key may have taken its parameters with it. */
    private void generate() {
        if (inRam) {
            Curve.domain((ECPrivateKey) ephemeral.getPrivate());
        }
        store.generate(ephemeral);
    }

    /** A private key in RAM, or null on a chip that has none. */
    private static PrivateKey keyInRam() {
        try {
            return (PrivateKey) KeyBuilder.buildKey(
                KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT, KeyBuilder.LENGTH_EC_FP_256,
                false);
        } catch (CryptoException e) {
            return null;
        }
    }

    /** Agree with the certificate held; the answer's length, the answer at buf[0]. */
    short agree(byte[] buf, short lc, PrivateKey channel) {
        short at = ISO7816.OFFSET_CDATA;
        short tlv = (short) (at + REFERENCE_BYTES);
        if (lc != COMMAND_BYTES
            || Bytes.compare(buf, at, CONTROL_REFERENCE, (short) 0, REFERENCE_BYTES) != 0
            || Bytes.compare(buf, tlv, EPHEMERAL, (short) 0, (short) 3) != 0
            || (!curve.platformChecks && !curve.contains(buf, (short) (tlv + 3)))) {
            ISOException.throwIt(Sw.DATA);
        }
        generate();
        derive(buf, (short) (tlv + 3), channel);
        byte[] w = ram.work;
        Util.arrayCopyNonAtomic(buf, at, w, (short) 0, COMMAND_BYTES);
        Util.arrayCopyNonAtomic(EPHEMERAL, (short) 0, w, COMMAND_BYTES, (short) 3);
        ECPublicKey own = (ECPublicKey) ephemeral.getPublic();
        own.getW(w, (short) (COMMAND_BYTES + 3));
        Util.arrayCopyNonAtomic(w, COMMAND_BYTES, buf, (short) 0, TLV_BYTES);
        messaging.open((short) (COMMAND_BYTES + TLV_BYTES), KEYS);
        ram.clearWork();
        buf[TLV_BYTES] = (byte) 0x86;
        buf[(short) (TLV_BYTES + 1)] = 0x10;
        short receipt = (short) (TLV_BYTES + 2);
        Util.arrayCopyNonAtomic(ram.session, Ram.CHAIN, buf, receipt, Cmac.BLOCK);
        return (short) (receipt + Cmac.BLOCK);
    }

    /** X9.63 with SHA-256 over ShSee, ShSss and 3C 88 10: three hashes to work[KEYS]. */
    private void derive(byte[] buf, short peer, PrivateKey channel) {
        byte[] w = ram.work;
        boolean agreed = Curve.isUncompressed(buf, peer)
            && curve.agree(ephemeral.getPrivate(), buf, peer, w, (short) 0)
            && curve.agree(channel, ram.session, Ram.KEY, w, Curve.FIELD_BYTES);
        if (inRam) {
            ephemeral.getPrivate().clearKey();
        }
        if (!agreed) {
            ISOException.throwIt(Sw.DATA);
        }
        short counter = (short) (2 * Curve.FIELD_BYTES);
        Util.arrayFillNonAtomic(w, counter, (short) 4, (byte) 0);
        Util.arrayCopyNonAtomic(SHARED_INFO, (short) 0, w, (short) (counter + 4), (short) 3);
        for (short i = 0; i < 3; i++) {
            w[(short) (counter + 3)] = (byte) (i + 1);
            sha.doFinal(w, (short) 0, (short) (counter + 7), w, (short) (KEYS + 32 * i));
        }
    }
}
