package id.betang.purse;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/** All volatile memory: a work buffer, and the certificate and session of SCP11a. */
final class Ram {
    /** The answer grows at 0; what lies where else is said by who uses it. */
    static final short WORK_BYTES = 352;
    /** Twelve bytes for a moment's numbers. */
    static final short SCRATCH = 288;
    /** A wallet's record while it changes. */
    static final short RECORD = 300;

    // The certificate that PERFORM SECURITY OPERATION accepted last
    static final short HELD = 0;
    static final short ROLE = 1;
    static final short ROLE_NOT = 2;
    static final short SERIAL = 3;
    static final short OFFICER = 7;
    static final short SUBJECT = 11;
    static final short EFFECTIVE = 19;
    static final short DIGEST = 23;
    static final short KEY = 55;
    // The session
    static final short OPEN = 120;
    static final short STATE_READ = 121;
    static final short PIN_OK = 122;
    static final short PIN_OK_NOT = 123;
    /** A bit per wallet that was debited. */
    static final short DEBITED = 124;
    static final short INTERFACE = 125;
    static final short COUNTER = 126;
    static final short CHAIN = 142;
    static final short SUBKEY_MAC = 158;
    static final short SUBKEY_RMAC = 174;
    static final short BLOCK = 190;
    static final short SESSION_BYTES = 206;

    final byte[] work;
    final byte[] session;

    Ram() {
        work = JCSystem.makeTransientByteArray(WORK_BYTES, JCSystem.CLEAR_ON_DESELECT);
        session = JCSystem.makeTransientByteArray(SESSION_BYTES, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Forget certificate and session. */
    void wipe() {
        Util.arrayFillNonAtomic(session, (short) 0, SESSION_BYTES, (byte) 0);
    }

    /** Forget what a command left behind. */
    void clearWork() {
        Util.arrayFillNonAtomic(work, (short) 0, WORK_BYTES, (byte) 0);
    }

    /** Whether a flag is set; FAULT when it is neither set nor clear. */
    boolean flag(short at) {
        byte value = session[at];
        if (value != 0 && value != Bytes.YES) {
            ISOException.throwIt(Sw.FAULT);
        }
        return value == Bytes.YES;
    }

    /** The role of the certificate held. */
    byte role() {
        Bytes.complementary(session, ROLE, session, ROLE_NOT, (short) 1);
        return session[ROLE];
    }

    /** Note whether the PIN is proved in this session. */
    void setPinOk(boolean proved) {
        session[PIN_OK] = proved ? Bytes.YES : 0;
        session[PIN_OK_NOT] = (byte) (session[PIN_OK] ^ 0xFF);
    }

    /** Whether it is; both encodings must say so. */
    boolean pinOk() {
        if (!flag(PIN_OK)) {
            return false;
        }
        Bytes.complementary(session, PIN_OK, session, PIN_OK_NOT, (short) 1);
        return true;
    }
}
