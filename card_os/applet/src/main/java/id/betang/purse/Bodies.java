package id.betang.purse;

/** Bulk bodies: a new one goes where nothing refers to (SPEC.md#tears). */
final class Bodies {
    static final short ENTITLEMENT_BYTES = 166;
    static final short STATEMENT_BYTES = 165;
    static final short CERTIFICATE_BYTES = 228;
    private static final short ENTITLEMENTS = 9;
    private static final short STATEMENTS = 3;

    final byte[] entitlements;
    final byte[] statements;
    final byte[] certificate;
    private final Card card;
    private final Wallets wallets;
    private final Store store;

    Bodies(Card card, Wallets wallets, Store store) {
        this.card = card;
        this.wallets = wallets;
        this.store = store;
        entitlements = store.array((short) (ENTITLEMENTS * ENTITLEMENT_BYTES));
        statements = store.array((short) (STATEMENTS * STATEMENT_BYTES));
        certificate = store.array(CERTIFICATE_BYTES);
    }

    /** Write an entitlement where no wallet refers to; the slot. */
    byte putEntitlement(byte[] a, short at) {
        byte slot = 0;
        while (usesEntitlement(slot)) {
            slot++;
        }
        store.bulk(entitlements, entitlement(slot), a, at, ENTITLEMENT_BYTES);
        return slot;
    }

    private boolean usesEntitlement(byte slot) {
        for (short i = 0; i < wallets.count(); i++) {
            if (wallets.v[(short) (i * Wallets.BYTES + Wallets.SLOT)] == slot) {
                return true;
            }
        }
        return false;
    }

    /** Write a statement where neither index refers to; the slot. */
    byte putStatement(byte[] a, short at) {
        byte slot = 0;
        while (card.v[Card.PIN_STATEMENT] == slot || card.v[Card.SCRIPT_STATEMENT] == slot) {
            slot++;
        }
        store.bulk(statements, statement(slot), a, at, STATEMENT_BYTES);
        return slot;
    }

    void putCertificate(byte[] a, short at) {
        store.bulk(certificate, (short) 0, a, at, CERTIFICATE_BYTES);
    }

    /** Where an entitlement's bytes begin. */
    static short entitlement(byte slot) {
        return (short) (slot * ENTITLEMENT_BYTES);
    }

    /** Where a statement's bytes begin. */
    static short statement(byte slot) {
        return (short) (slot * STATEMENT_BYTES);
    }
}
