package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.OwnerPIN;

/** The holder's PIN and the transport code; the platform's OwnerPIN counts before it compares. */
final class Pins {
    static final byte PIN_DIGITS = 6;
    static final byte CODE_DIGITS = 8;
    static final byte PIN_TRIES = 3;
    static final byte CODE_TRIES = 5;
    static final byte UNBLOCKS = 10;

    private static final byte[] NO_CODE = {0, 0, 0, 0, 0, 0, 0, 0};

    final OwnerPIN pin;
    final OwnerPIN code;
    private final Card card;
    private final Store store;

    Pins(Card card, Store store) {
        this.card = card;
        this.store = store;
        pin = store.pin(PIN_TRIES, PIN_DIGITS);
        code = store.pin(CODE_TRIES, CODE_DIGITS);
    }

    /** Tries left of what counts now: the PIN when ACTIVE, the transport code when INERT. */
    byte tries() {
        byte life = card.life();
        if (life == Card.ACTIVE) {
            return pin.getTriesRemaining();
        }
        return life == Card.INERT ? code.getTriesRemaining() : 0;
    }

    /** Throw 6983 or 63Cx unless the digits are right. */
    void match(OwnerPIN secret, byte[] a, short at, byte digits) {
        byte before = secret.getTriesRemaining();
        if (before == 0) {
            ISOException.throwIt(Sw.NO_TRIES);
        }
        boolean good = store.check(secret, a, at, digits);
        if (!good) {
            byte left = secret.getTriesRemaining();
            if (left >= before) {
                ISOException.throwIt(Sw.FAULT);  // the counter did not fall
            }
            ISOException.throwIt((short) (Sw.VERIFICATION_FAILED | left));
        }
        if (!secret.isValidated()) {
            ISOException.throwIt(Sw.FAULT);  // the second look differs from the first
        }
    }

    /** Within a transaction: the transport code is no more. */
    void eraseCode() {
        store.update(code, NO_CODE, (short) 0, CODE_DIGITS);
    }

    /** Throw 6A80 unless n bytes are ASCII digits. */
    static void digits(byte[] a, short at, short n) {
        for (short i = 0; i < n; i++) {
            byte digit = a[(short) (at + i)];
            if (digit < 0x30 || digit > 0x39) {
                ISOException.throwIt(Sw.DATA);
            }
        }
    }

    /** Equal digits, a run up or down by one, or anything that reads as a date (SPEC.md#pin). */
    static boolean tooSimple(byte[] a, short at) {
        short step = (short) (a[(short) (at + 1)] - a[at]);
        boolean run = step >= -1 && step <= 1;
        for (short i = 1; i < PIN_DIGITS - 1; i++) {
            run &= (short) (a[(short) (at + i + 1)] - a[(short) (at + i)]) == step;
        }
        short first = two(a, at);
        short second = two(a, (short) (at + 2));
        short third = two(a, (short) (at + 4));
        return run
            || (day(first) && month(second))
            || (month(first) && day(second))
            || (month(second) && day(third));
    }

    private static short two(byte[] a, short at) {
        return (short) ((short) (a[at] - 0x30) * 10 + (short) (a[(short) (at + 1)] - 0x30));
    }

    private static boolean day(short n) {
        return n >= 1 && n <= 31;
    }

    private static boolean month(short n) {
        return n >= 1 && n <= 12;
    }
}
