package id.betang.purse;

import javacard.framework.Util;

/** What the card signs: receipts and statements, in the work buffer (docs/wire.md). */
final class Signed {
    // Fields of a receipt
    static final short RECEIPT_KIND = 5;
    static final short RECEIPT_WALLET = 18;
    static final short RECEIPT_BASKET = 20;
    static final short RECEIPT_AMOUNT = 22;
    static final short RECEIPT_TERMINAL = 42;
    static final short RECEIPT_BYPASSES = 108;
    static final short RECEIPT_BODY = 146;
    static final byte DEBIT = 1;
    static final byte REVERSAL = 2;
    // Fields of a statement
    static final short STATEMENT_SCRIPTS = 40;
    static final short STATEMENT_PIN_SETS = 42;
    static final short STATEMENT_DETAIL = 62;
    static final short STATEMENT_NUMBER = 63;
    static final short STATEMENT_DATE = 65;
    static final short STATEMENT_BODY = 101;
    static final byte LOAD = 1;
    static final byte ACTIVATION = 2;
    static final byte PIN_SET = 3;
    static final byte SCRIPT = 4;

    private final Card card;
    private final Ram ram;
    private final KeySets keys;
    private final Ecdsa ecdsa;

    Signed(Card card, Ram ram, KeySets keys, Ecdsa ecdsa) {
        this.card = card;
        this.ram = ram;
        this.keys = keys;
        this.ecdsa = ecdsa;
    }

    /**
     * A statement of the card as it is; the caller then changes what the command changes and signs.
     * Wallet, counters and entitlement sequence are zero.
     */
    void statement(byte kind) {
        byte[] w = ram.work;
        byte[] v = card.v;
        Util.arrayFillNonAtomic(w, (short) 0, STATEMENT_BODY, (byte) 0);
        head((byte) 0x53, kind);
        Util.arrayCopyNonAtomic(v, Card.SEQUENCE, w, (short) 14, U32.SIZE);
        Util.arrayCopyNonAtomic(v, Card.SCRIPT_COUNT, w, STATEMENT_SCRIPTS, (short) 6);
        identity((short) 46);
        Util.arrayCopyNonAtomic(v, Card.DATE, w, STATEMENT_DATE, Dates.SIZE);
        Util.arrayCopyNonAtomic(v, Card.HEAD, w, (short) 69, Card.HASH_BYTES);
    }

    /** The wallet's part of a LOAD statement, from the record in work. */
    void statementWallet() {
        byte[] w = ram.work;
        Util.arrayCopyNonAtomic(w, Ram.RECORD, w, (short) 18, (short) 2);
        short counters = (short) (Ram.RECORD + Wallets.LOADED);
        Util.arrayCopyNonAtomic(w, counters, w, (short) 20, Wallets.COUNTERS_BYTES);
        Util.arrayCopyNonAtomic(
            w, (short) (Ram.RECORD + Wallets.SEQUENCE), w, (short) 36, U32.SIZE);
    }

    /** The statement's own date becomes {@code date} when that is later. */
    void statementDate(byte[] date, short at) {
        if (card.isLater(date, at)) {
            Util.arrayCopyNonAtomic(date, at, ram.work, STATEMENT_DATE, Dates.SIZE);
        }
    }

    void signStatement() {
        ecdsa.sign(keys.receipt(), STATEMENT_BODY);
    }

    /**
     * The next receipt. The record in work is the wallet after it; basket and amount come from
     * {@code a}; {@code order}: terminal sequence(4), terminal time(4) and, apart, H(intent)(32).
     */
    void receipt(byte kind, byte verification, byte[] a, short basket, short amount) {
        byte[] w = ram.work;
        byte[] v = card.v;
        head((byte) 0x52, kind);
        U32.next(v, Card.SEQUENCE, w, (short) 14);
        Util.arrayCopyNonAtomic(w, Ram.RECORD, w, RECEIPT_WALLET, (short) 2);
        Util.arrayCopyNonAtomic(a, basket, w, RECEIPT_BASKET, (short) 2);
        Util.arrayCopyNonAtomic(a, amount, w, RECEIPT_AMOUNT, U32.SIZE);
        short counters = (short) (Ram.RECORD + Wallets.LOADED);
        Util.arrayCopyNonAtomic(w, counters, w, (short) 26, Wallets.COUNTERS_BYTES);
        identity(RECEIPT_TERMINAL);
        w[98] = verification;
        w[99] = ram.session[Ram.INTERFACE];
        Util.arrayCopyNonAtomic(
            w, (short) (Ram.RECORD + Wallets.SEQUENCE), w, (short) 100, U32.SIZE);
        Util.arrayCopyNonAtomic(v, Card.SCRIPT_COUNT, w, (short) 104, (short) 6);
        Util.arrayCopyNonAtomic(v, Card.DATE, w, (short) 110, Dates.SIZE);
        Util.arrayCopyNonAtomic(v, Card.HEAD, w, (short) 114, Card.HASH_BYTES);
    }

    /** The terminal's order in it: terminal sequence and time(8), H(intent)(32). */
    void receiptOrder(byte[] a, short terminal, short intent) {
        Util.arrayCopyNonAtomic(a, terminal, ram.work, (short) 58, (short) 8);
        Util.arrayCopyNonAtomic(a, intent, ram.work, (short) 66, Card.HASH_BYTES);
    }

    void signReceipt() {
        ecdsa.sign(keys.receipt(), RECEIPT_BODY);
    }

    /** "BT", type, version, environment, kind, card id. */
    private void head(byte type, byte kind) {
        byte[] w = ram.work;
        w[0] = 0x42;
        w[1] = 0x54;
        w[2] = type;
        w[3] = 0x01;
        w[4] = card.env;
        w[5] = kind;
        Util.arrayCopyNonAtomic(card.v, Card.ID, w, (short) 6, Card.ID_BYTES);
    }

    /** Terminal id(8), serial(4), officer(4) of the session's certificate. */
    private void identity(short at) {
        byte[] s = ram.session;
        Util.arrayCopyNonAtomic(s, Ram.SUBJECT, ram.work, at, Card.ID_BYTES);
        Util.arrayCopyNonAtomic(s, Ram.SERIAL, ram.work, (short) (at + 8), (short) 8);
    }
}
