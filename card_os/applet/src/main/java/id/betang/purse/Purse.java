package id.betang.purse;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.CardRuntimeException;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;

/**
 * The purse: a Betang card's application (card_os/SPEC.md). Here a command is received, refused in
 * SPEC.md's order, and handed to whom it belongs; everything it will ever need is made at INSTALL.
 */
public class Purse extends Applet {
    private static final byte CLA_PLAIN = (byte) 0x80;
    private static final byte PSO = 0x2A;
    private static final byte GET_DATA = (byte) 0xCA;
    private static final byte MUTUAL_AUTHENTICATE = (byte) 0x82;
    private static final byte GENERATE_KEYS = 0x46;
    private static final byte KID_CA = 0x10;
    private static final short CERTIFICATE_TAG = (short) 0x7F21;
    private static final short KVN_KID = 0x0111;
    private static final byte PERSONALISER = 4;

    private static final short PARAMETERS_BYTES = 66;
    /** 6F {84 AID, A5 {C0 environment, C1 01}}: AID's last byte and environment are filled in. */
    private static final byte[] FCI = {
        0x6F, 0x12, (byte) 0x84, 0x08, (byte) 0xF0, 0x42, 0x45, 0x54, 0x41, 0x4E, 0x47, 0,
        (byte) 0xA5, 0x06, (byte) 0xC0, 0x01, 0, (byte) 0xC1, 0x01, 0x01};
    private static final short FCI_BYTES = 20;
    private static final short FCI_AID = 4;
    private static final short FCI_WORLD = 11;
    private static final short FCI_ENVIRONMENT = 16;

    private final Store store;
    private final Gate gate;
    private final Ram ram;
    private final Curve curve;
    private final Card card;
    private final Trust trust;
    private final Messaging messaging;
    private final Scp11 scp11;
    private final KeySets keys;
    private final Bodies bodies;
    private final Pins pins;
    private final Issue issue;
    private final Reading reading;
    private final Loading loading;
    private final Holder holder;
    private final Money money;

    /**
     * Everything is allocated here. {@code a} at {@code offset}: INSTALL's data as Java Card gives
     * it: instance AID, control information, application parameters (C9), each with its length.
     * Throws 6A80 for parameters that SPEC.md refuses.
     */
    protected Purse(Store store, Gate gate, byte[] a, short offset) {
        this.store = store;
        this.gate = gate;
        ram = new Ram();
        curve = new Curve(ram.work);
        short parameters = parameters(a, offset);
        card = new Card(store, a[parameters]);
        MessageDigest sha = MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);
        Ecdsa ecdsa = new Ecdsa(ram.work);
        trust = new Trust(card, ram, store, ecdsa, sha, a, (short) (parameters + 1));
        messaging = new Messaging(ram, new Cmac());
        scp11 = new Scp11(ram, store, curve, messaging, sha);
        keys = new KeySets(card, store);
        pins = new Pins(card, store);
        Wallets wallets = new Wallets(card, ram, store);
        bodies = new Bodies(card, wallets, store);
        Ring ring = new Ring(card, ram, store);
        Signed signed = new Signed(card, ram, keys, ecdsa);
        issue = new Issue(card, ram, store, keys, pins, bodies, sha);
        reading = new Reading(card, ram, store, wallets, ring, bodies, pins);
        loading = new Loading(card, ram, store, trust, wallets, bodies, signed);
        holder = new Holder(card, ram, store, trust, pins, bodies, signed);
        money = new Money(card, ram, store, wallets, ring, signed, sha);
    }

    /** Where environment and root key begin; 6A80 when they, or the instance's AID, are wrong. */
    private short parameters(byte[] a, short offset) {
        short aid = (short) (offset + 1);
        short at = (short) (aid + a[offset]);
        at = (short) ((short) (at + 1) + a[at]);
        short first = (short) (at + 1);
        if (a[at] != PARAMETERS_BYTES) {
            ISOException.throwIt(Sw.DATA);
        }
        byte world = (byte) (a[first] & 0x7F);
        boolean good = curve.contains(a, (short) (first + 1))
            && (world == 1 || world == 2)
            && a[offset] == 8
            && Bytes.compare(a, aid, FCI, FCI_AID, (short) 7) == 0
            && a[(short) (aid + 7)] == world;
        if (!good) {
            ISOException.throwIt(Sw.DATA);
        }
        return first;
    }

    @Override
    public boolean select() {
        wipe();
        gate.reset();
        return true;
    }

    @Override
    public void deselect() {
        wipe();
        gate.reset();
    }

    /** Forget session and certificate. */
    private void wipe() {
        messaging.close();
        ram.wipe();
        pins.pin.reset();
        pins.code.reset();
    }

    @Override
    public void process(APDU apdu) {
        byte[] buf = apdu.getBuffer();
        if (selectingApplet()) {
            fci(buf);
            apdu.setOutgoingAndSend((short) 0, FCI_BYTES);
            return;
        }
        if (gate.opens(apdu)) {
            wipe();
            return;
        }
        short lc = receive(apdu, buf);
        ram.session[Ram.INTERFACE] =
            (APDU.getProtocol() & APDU.PROTOCOL_MEDIA_MASK) == 0 ? (byte) 1 : (byte) 2;
        short n = 0;
        short sw = ISO7816.SW_NO_ERROR;
        try {
            n = answer(buf, lc);
        } catch (ISOException e) {
            sw = e.getReason();
        } catch (CardRuntimeException e) {
            sw = Sw.FAULT;  // the platform refused what cannot be refused
        }
        if (sw != ISO7816.SW_NO_ERROR) {
            store.abandon();
        }
        if ((sw & (short) 0xFFF0) == Sw.VERIFICATION_FAILED) {
            n = messaging.wrap(buf, (short) 0, sw);  // a warning carries a MAC (GPC Amd D §6.2.5)
        }
        if (sw == Sw.FAULT) {
            wipe();
        }
        ram.clearWork();
        if (n > 0) {
            apdu.setOutgoingAndSend((short) 0, n);
        }
        if (sw != ISO7816.SW_NO_ERROR) {
            ISOException.throwIt(sw);
        }
    }

    private void fci(byte[] buf) {
        Util.arrayCopyNonAtomic(FCI, (short) 0, buf, (short) 0, FCI_BYTES);
        buf[FCI_WORLD] = (byte) (card.env & 0x7F);
        buf[FCI_ENVIRONMENT] = card.env;
    }

    /** All data of a short command; T=0 cannot tell GET DATA's Le from an Lc, so it takes none. */
    private static short receive(APDU apdu, byte[] buf) {
        if (buf[ISO7816.OFFSET_INS] == GET_DATA
            && (APDU.getProtocol() & APDU.PROTOCOL_TYPE_MASK) == APDU.PROTOCOL_T0) {
            return 0;
        }
        short n = apdu.setIncomingAndReceive();
        short lc = apdu.getIncomingLength();
        while (n < lc) {
            n = (short) (n + apdu.receiveBytes((short) (ISO7816.OFFSET_CDATA + n)));
        }
        return lc;
    }

    /** The answer's length; it lies at buf[0]. */
    private short answer(byte[] buf, short lc) {
        byte cla = buf[ISO7816.OFFSET_CLA];
        if (gate.covers(buf)) {
            return overScp03(buf, lc);
        }
        if (cla == (byte) 0x84 || cla == 0x04) {
            if (!ram.flag(Ram.OPEN)) {
                ISOException.throwIt(Sw.MESSAGING);
            }
            return secured(buf, lc);
        }
        return plain(buf, lc);
    }

    // Without secure messaging

    private short plain(byte[] buf, short lc) {
        boolean inSession = ram.flag(Ram.OPEN);
        byte ins = buf[ISO7816.OFFSET_INS];
        boolean isPlain = buf[ISO7816.OFFSET_CLA] == CLA_PLAIN;
        if (inSession) {
            wipe();
            if (!isPlain || ins != PSO) {
                ISOException.throwIt(Sw.MESSAGING);
            }
        }
        if (!isPlain) {
            ISOException.throwIt(Sw.CLA);
        }
        if (ins == PSO) {
            return performSecurityOperation(buf, lc, inSession);
        }
        if (ins == GET_DATA) {
            return getData(buf, lc);
        }
        if (ins == MUTUAL_AUTHENTICATE) {
            return mutualAuthenticate(buf, lc);
        }
        if (ins == GENERATE_KEYS) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        ISOException.throwIt(Rules.known(ins) ? Sw.MESSAGING : Sw.INS);
        return 0;
    }

    private short performSecurityOperation(byte[] buf, short lc, boolean inSession) {
        wipe();
        if (buf[ISO7816.OFFSET_P2] != KID_CA) {
            ISOException.throwIt(Sw.NOT_FOUND);
        }
        short at = ISO7816.OFFSET_CDATA;
        byte kind = Cvc.parse(buf, at, lc, card);
        if (kind == Cvc.MALFORMED || kind == Cvc.CARD) {
            ISOException.throwIt(Sw.DATA);
        }
        boolean known = trust.isKnown(buf, at, lc);
        if (!known && !curve.contains(buf, (short) (at + Cvc.key(kind)))) {
            ISOException.throwIt(Sw.DATA);
        }
        if (kind == Cvc.TERMINAL) {
            trust.hold(buf, at, known);
        } else {
            if (inSession) {
                ISOException.throwIt(Sw.CONDITIONS);
            }
            trust.link(buf, at);
        }
        return 0;
    }

    private short getData(byte[] buf, short lc) {
        if (Util.getShort(buf, ISO7816.OFFSET_P1) != CERTIFICATE_TAG) {
            ISOException.throwIt(Sw.NOT_FOUND);
        }
        if (lc != 0) {
            ISOException.throwIt(Sw.LENGTH);
        }
        if (!ram.flag(Ram.HELD)) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        if (!card.personalised()) {
            ISOException.throwIt(Sw.NOT_FOUND);
        }
        short n = Bodies.CERTIFICATE_BYTES;
        Util.arrayCopyNonAtomic(bodies.certificate, (short) 0, buf, (short) 0, n);
        return n;
    }

    private short mutualAuthenticate(byte[] buf, short lc) {
        if (Util.getShort(buf, ISO7816.OFFSET_P1) != KVN_KID) {
            ISOException.throwIt(Sw.NOT_FOUND);
        }
        if (card.life() < Card.KEYED || !ram.flag(Ram.HELD)
            || (!card.personalised() && ram.role() != PERSONALISER)) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        short n = scp11.agree(buf, lc, keys.channel());
        ram.session[Ram.STATE_READ] = 0;
        ram.session[Ram.DEBITED] = 0;
        ram.setPinOk(false);
        ram.session[Ram.OPEN] = Bytes.YES;
        return n;
    }

    // Under the security domain's SCP03

    private short overScp03(byte[] buf, short lc) {
        short n = gate.unwrap(buf, lc);
        wipe();
        byte ins = buf[ISO7816.OFFSET_INS];
        if (buf[ISO7816.OFFSET_CLA] != CLA_PLAIN) {
            ISOException.throwIt(Sw.CLA);
        }
        if (ins != GENERATE_KEYS && ins != PSO && ins != GET_DATA && ins != MUTUAL_AUTHENTICATE
            && !Rules.known(ins)) {
            ISOException.throwIt(Sw.INS);
        }
        if (ins != GENERATE_KEYS || !gate.full() || card.personalised()) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        if (Util.getShort(buf, ISO7816.OFFSET_P1) != 0) {
            ISOException.throwIt(Sw.P1P2);
        }
        if (n != 0) {
            ISOException.throwIt(Sw.LENGTH);
        }
        n = issue.generateKeys();
        Util.arrayCopyNonAtomic(ram.work, (short) 0, buf, (short) 0, n);
        return gate.wrap(buf, n);
    }

    // Under our own SCP11a

    private short secured(byte[] buf, short lc) {
        short n = messaging.unwrap(buf, lc);
        if (n < 0) {
            wipe();
            ISOException.throwIt(Sw.MESSAGING);
        }
        byte ins = buf[ISO7816.OFFSET_INS];
        if (buf[ISO7816.OFFSET_CLA] != (byte) 0x84) {
            ISOException.throwIt(Sw.CLA);
        }
        if (ins == GENERATE_KEYS) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        if (!Rules.known(ins)) {
            ISOException.throwIt(Sw.INS);
        }
        byte p1 = buf[ISO7816.OFFSET_P1];
        byte p2 = buf[ISO7816.OFFSET_P2];
        if (!ram.flag(Ram.STATE_READ) && (ins != Rules.READ || p1 != 0)) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        Rules.check(ins, p1, p2, ram.role(), card.life(), n);
        short length = dispatch(buf, ins, p1, p2, n);
        Util.arrayFillNonAtomic(buf, ISO7816.OFFSET_CDATA, n, (byte) 0);
        return messaging.wrap(buf, length, ISO7816.SW_NO_ERROR);
    }

    /** The plain answer lies in the work buffer; its length. */
    private short dispatch(byte[] buf, byte ins, byte p1, byte p2, short n) {
        short at = ISO7816.OFFSET_CDATA;
        switch (ins) {
            case Rules.READ:
                return read(buf, p1, p2);
            case Rules.LOAD:
                return loading.load(buf, at);
            case Rules.SCRIPT:
                return holder.script(buf, at);
            case Rules.VERIFY:
                return holder.verify(buf, at);
            case Rules.CHANGE_PIN:
                return holder.changePin(buf, at);
            case Rules.ACTIVATE:
                return p1 == 0 ? holder.activateByCode(buf, at) : holder.activateByOfficer(buf, at);
            case Rules.DEBIT:
                return money.debit(buf, at, p1);
            case Rules.VOID:
                return money.voidLatest(buf, at);
            case Rules.CONFIRM:
                return money.confirm(buf, at);
            case Rules.PERSONALISE:
                return issue.personalise(buf, at, n);
            default:
                ISOException.throwIt(Sw.INS);
                return 0;
        }
    }

    private short read(byte[] buf, byte p1, byte p2) {
        switch (p1) {
            case 0:
                return reading.state();
            case 1:
                return reading.entitlement(p2);
            case 2:
                return reading.receipt(buf, ISO7816.OFFSET_CDATA);
            case 3:
                return reading.statement(Card.PIN_STATEMENT);
            default:
                return reading.statement(Card.SCRIPT_STATEMENT);
        }
    }
}
