package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** VERIFY, CHANGE PIN, ACTIVATE and the issuer's SCRIPT (SPEC.md#commands). */
final class Holder {
    private static final byte PIN_SET_CHANGE = 1;
    private static final byte PIN_SET_RESET = 2;
    private static final short COUNT_END = (short) 0xFFFF;

    private static final short SCRIPT_CARD_ID = 5;
    private static final short SCRIPT_NUMBER = 13;
    private static final short SCRIPT_ACTION = 15;
    private static final short SCRIPT_OFFICER = 16;
    private static final short SCRIPT_ISSUED = 20;
    private static final short SCRIPT_KEY_VERSION = 24;
    private static final short SCRIPT_BODY = 26;
    private static final byte BLOCK = 1;
    private static final byte UNBLOCK = 2;
    private static final byte PIN_UNBLOCK = 3;
    private static final byte PIN_RESET = 4;

    private final Card card;
    private final Ram ram;
    private final Store store;
    private final Trust trust;
    private final Pins pins;
    private final Bodies bodies;
    private final Signed signed;

    Holder(Card card, Ram ram, Store store, Trust trust, Pins pins, Bodies bodies, Signed signed) {
        this.card = card;
        this.ram = ram;
        this.store = store;
        this.trust = trust;
        this.pins = pins;
        this.bodies = bodies;
        this.signed = signed;
    }

    short verify(byte[] a, short at) {
        ram.setPinOk(false);
        refuseBlocked();
        Pins.digits(a, at, Pins.PIN_DIGITS);
        pins.match(pins.pin, a, at, Pins.PIN_DIGITS);
        ram.setPinOk(true);
        ram.work[0] = pins.pin.getTriesRemaining();
        return 1;
    }

    short changePin(byte[] a, short at) {
        ram.setPinOk(false);
        refuseBlocked();
        Pins.digits(a, at, (short) (2 * Pins.PIN_DIGITS));
        refuseCountEnd();
        pins.match(pins.pin, a, at, Pins.PIN_DIGITS);
        short fresh = (short) (at + Pins.PIN_DIGITS);
        refuseSimple(a, fresh);
        short n = setPin(a, fresh, Signed.PIN_SET, PIN_SET_CHANGE);
        ram.setPinOk(true);
        return n;
    }

    short activateByCode(byte[] a, short at) {
        refuseBlocked();
        Pins.digits(a, at, (short) (Pins.CODE_DIGITS + Pins.PIN_DIGITS));
        refuseCountEnd();
        pins.match(pins.code, a, at, Pins.CODE_DIGITS);
        short fresh = (short) (at + Pins.CODE_DIGITS);
        refuseSimple(a, fresh);
        return setPin(a, fresh, Signed.ACTIVATION, (byte) 0);
    }

    short activateByOfficer(byte[] a, short at) {
        if (!card.flag(Card.RESET_PENDING) || U32.zero(card.v, Card.RESET_OFFICER)
            || U32.compare(ram.session, Ram.OFFICER, card.v, Card.RESET_OFFICER) != 0) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        Pins.digits(a, at, Pins.PIN_DIGITS);
        refuseCountEnd();
        refuseSimple(a, at);
        return setPin(a, at, Signed.PIN_SET, PIN_SET_RESET);
    }

    private void refuseBlocked() {
        if (card.flag(Card.BLOCKED)) {
            ISOException.throwIt(Sw.BLOCKED);
        }
    }

    private void refuseCountEnd() {
        if (card.count(Card.PIN_SETS) == COUNT_END) {
            ISOException.throwIt(Sw.EXHAUSTED);
        }
    }

    private static void refuseSimple(byte[] a, short at) {
        if (Pins.tooSimple(a, at)) {
            ISOException.throwIt(Sw.PIN_SIMPLE);
        }
    }

    /** PIN, tries, count, life, pending and the statement: one transaction. */
    private short setPin(byte[] a, short at, byte kind, byte detail) {
        byte[] w = ram.work;
        boolean activates = kind == Signed.ACTIVATION || detail == PIN_SET_RESET;
        short count = (short) (card.count(Card.PIN_SETS) + 1);
        signed.statement(kind);
        Util.setShort(w, Signed.STATEMENT_PIN_SETS, count);
        w[Signed.STATEMENT_DETAIL] = detail;
        signed.signStatement();
        byte slot = bodies.putStatement(w, (short) 0);
        store.begin();
        store.update(pins.pin, a, at, Pins.PIN_DIGITS);
        card.setCount(Card.PIN_SETS, count);
        card.setLife(Card.ACTIVE);
        if (activates) {
            card.setFlag(Card.RESET_PENDING, false);
            card.clear(Card.RESET_OFFICER, U32.SIZE);
            pins.eraseCode();
        }
        card.set(Card.PIN_STATEMENT, slot);
        store.commit();
        return Bodies.STATEMENT_BYTES;
    }

    // SCRIPT

    short script(byte[] a, short at) {
        byte action = a[(short) (at + SCRIPT_ACTION)];
        if (!parses(a, at, action) || Bytes.compare(a, (short) (at + SCRIPT_CARD_ID),
            card.v, Card.ID, Card.ID_BYTES) != 0) {
            ISOException.throwIt(Sw.DATA);
        }
        trust.fromIssuer(a, at, SCRIPT_BODY, SCRIPT_KEY_VERSION, SCRIPT_ISSUED);
        short number = (short) (at + SCRIPT_NUMBER);
        if (Bytes.compare(a, number, card.v, Card.SCRIPT_NUMBER, (short) 2) <= 0) {
            ISOException.throwIt(Sw.NOT_NEWER);
        }
        if (action == PIN_UNBLOCK && card.v[Card.UNBLOCKS] == 0) {
            ISOException.throwIt(Sw.CONDITIONS);
        }
        byte[] w = ram.work;
        short count = (short) (card.count(Card.SCRIPT_COUNT) + 1);
        signed.statement(Signed.SCRIPT);
        Util.setShort(w, Signed.STATEMENT_SCRIPTS, count);
        w[Signed.STATEMENT_DETAIL] = action;
        Util.arrayCopyNonAtomic(a, number, w, Signed.STATEMENT_NUMBER, (short) 2);
        signed.statementDate(a, (short) (at + SCRIPT_ISSUED));
        signed.signStatement();
        byte slot = bodies.putStatement(w, (short) 0);
        store.begin();
        carryOut(a, at, action);
        card.set(Card.SCRIPT_NUMBER, a, number, (short) 2);
        card.setCount(Card.SCRIPT_COUNT, count);
        card.moveDate(a, (short) (at + SCRIPT_ISSUED));
        card.set(Card.SCRIPT_STATEMENT, slot);
        store.commit();
        return Bodies.STATEMENT_BYTES;
    }

    private void carryOut(byte[] a, short at, byte action) {
        if (action == BLOCK || action == UNBLOCK) {
            card.setFlag(Card.BLOCKED, action == BLOCK);
        } else if (action == PIN_RESET) {
            card.setFlag(Card.RESET_PENDING, true);
            card.set(Card.RESET_OFFICER, a, (short) (at + SCRIPT_OFFICER), U32.SIZE);
        } else {
            store.unblock(card.life() == Card.ACTIVE ? pins.pin : pins.code);
            card.set(Card.UNBLOCKS, (byte) (card.v[Card.UNBLOCKS] - 1));
        }
    }

    private boolean parses(byte[] a, short at, byte action) {
        boolean named = !U32.zero(a, (short) (at + SCRIPT_OFFICER));
        return Loading.isDomain(a, at, (byte) 0x43, card.env)
            && action >= BLOCK && action <= PIN_RESET
            && !Bytes.zero(a, (short) (at + SCRIPT_NUMBER), (short) 2)
            && named == (action == PIN_RESET)
            && Dates.valid(a, (short) (at + SCRIPT_ISSUED));
    }
}
