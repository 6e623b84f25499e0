package id.betang.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;

import org.junit.jupiter.api.Test;

/**
 * What the Java Card converter would refuse, as well as it can be told without it: from the sources
 * and from the byte code. A CAP will be made from these sources and verified.
 */
class SubsetTest {
    private static final Path SOURCES = Path.of("src/main/java/id/betang/purse");
    private static final Path CLASSES = Path.of("target/classes/id/betang/purse");
    /** Results wider than 16 bits that nobody narrows: the converter refuses them without int. */
    private static final Set<String> MUST_NARROW =
        Set.of("iadd", "isub", "imul", "ineg", "ishl", "idiv", "irem");
    private static final Set<String> NEVER = Set.of(
        "ldc", "ldc_w", "ldc2_w", "i2l", "i2f", "i2d", "i2c", "iushr", "multianewarray",
        "invokedynamic", "monitorenter", "ladd", "fadd", "dadd", "iaload", "iastore", "caload");
    private static final Set<String> ALLOCATE = Set.of("new", "newarray", "anewarray");
    /** Called from constructors alone: INSTALL. */
    private static final Set<String> FACTORIES = Set.of(
        "array", "pin", "publicKey", "keyPair", "ephemeralPair", "key", "keyInRam", "install");
    private static final Pattern FORBIDDEN_WORDS = Pattern.compile(
        "\\b(int|long|char|float|double|String|var|record|enum|assert|synchronized|interface)\\b"
            + "|->|::|\\[\\]\\s*\\[\\]|for\\s*\\([^;)]*:[^;)]*\\)|<\\w+>|\"");

    private static String code(String source) {
        return source.replaceAll("(?s)/\\*.*?\\*/", "").replaceAll("//[^\n]*", "");
    }

    @Test
    void theSourcesUseNoWordTheConverterRefuses() throws IOException {
        List<String> found = new ArrayList<>();
        for (Path file : list(SOURCES, ".java")) {
            Matcher matcher = FORBIDDEN_WORDS.matcher(code(Files.readString(file)));
            while (matcher.find()) {
                found.add(file.getFileName() + ": " + matcher.group());
            }
        }
        assertEquals(List.of(), found);
    }

    @Test
    void theByteCodeKeepsToSixteenBits() throws IOException {
        List<String> found = new ArrayList<>();
        for (Method method : methods()) {
            for (int i = 0; i < method.code.size(); i++) {
                String op = method.code.get(i);
                if (NEVER.contains(op)) {
                    found.add(method + ": " + op);
                }
                if (MUST_NARROW.contains(op) && !method.narrowed(i)) {
                    found.add(method + ": " + op + " not narrowed");
                }
            }
        }
        assertEquals(List.of(), found);
    }

    @Test
    void nothingIsAllocatedAfterInstall() throws IOException {
        List<String> found = new ArrayList<>();
        for (Method method : methods()) {
            boolean atInstall = method.isConstructor() || FACTORIES.contains(method.name);
            for (String op : method.code) {
                if (!atInstall && (ALLOCATE.contains(op) || op.startsWith("makeTransient"))) {
                    found.add(method + ": " + op);
                }
            }
        }
        assertEquals(List.of(), found);
    }

    @Test
    void factoriesAreCalledFromConstructorsAlone() throws IOException {
        Pattern call = Pattern.compile(
            "(?:store|super)\\.(array|pin|publicKey|keyPair|ephemeralPair)\\(");
        for (Path file : list(SOURCES, ".java")) {
            String source = code(Files.readString(file));
            Matcher matcher = call.matcher(source);
            while (matcher.find()) {
                String before = source.substring(0, matcher.start());
                String name = file.getFileName().toString().replace(".java", "");
                int constructor = before.lastIndexOf("    " + name + "(");
                int method = before.lastIndexOf("\n    }\n");
                assertTrue(constructor > method, file + ": " + matcher.group());
            }
        }
    }

    /** A field that changes is persistent memory written behind the Store's back. */
    @Test
    void everyFieldIsFinal() throws IOException {
        for (String line : javap("-p").split("\n")) {
            if (line.matches("  [^({]*;")) {
                assertTrue(line.contains(" final "), line);
            }
        }
    }

    /** Persistent arrays are written by the Store alone, but for defaults set at INSTALL. */
    @Test
    void persistentArraysAreWrittenByTheStoreAlone() throws IOException {
        Pattern write = Pattern.compile(
            "(?:\\b(?:card\\.v|wallets\\.v|ring\\.v|entitlements|statements|certificate|\\bv)\\b"
                + "\\[[^\\]]*\\]\\s*[-+|&^]?=[^=])|arrayCopyNonAtomic\\([^;]*,\\s*(?:card\\.)?v,[^,]*,"
                + "[^,]*\\);");
        List<String> found = new ArrayList<>();
        for (Path file : list(SOURCES, ".java")) {
            String source = code(Files.readString(file));
            Matcher matcher = write.matcher(source);
            while (matcher.find()) {
                found.add(file.getFileName() + ": " + matcher.group().strip());
            }
        }
        assertTrue(found.stream().allMatch(line -> line.startsWith("Card.java: v[")
            || line.startsWith("Card.java: arrayCopyNonAtomic(FIRST_DAY")), found.toString());
    }

    /** One method's operations, a call shown as the name it calls. */
    private record Method(String owner, String name, List<String> code) {
        boolean isConstructor() {
            return name.equals(owner) || name.equals("static");
        }

        /** Narrowed at once, or used only in sums that are. */
        boolean narrowed(int at) {
            for (int i = at + 1; i < code.size(); i++) {
                String next = code.get(i);
                if (next.equals("i2s") || next.equals("i2b")) {
                    return true;
                }
                if (next.startsWith("if") || next.startsWith("invoke") || next.endsWith("return")
                    || next.endsWith("aload") || next.endsWith("astore") && !next.startsWith("astore")
                    || next.startsWith("istore") || next.endsWith("switch")) {
                    return false;
                }
            }
            return false;
        }

        @Override
        public String toString() {
            return owner + "." + name;
        }
    }

    private static List<Method> methods() throws IOException {
        Pattern operation = Pattern.compile("^\\s+\\d+: (\\w+)(.*)$");
        Pattern heading = Pattern.compile("^  [^\\s].*?(\\w+)\\([^)]*\\).*;$");
        List<Method> methods = new ArrayList<>();
        for (Path file : list(CLASSES, ".class")) {
            String owner = file.getFileName().toString().replace(".class", "");
            Method method = null;
            for (String line : javap("-p", "-c", file).split("\n")) {
                Matcher head = heading.matcher(line);
                Matcher op = operation.matcher(line);
                if (head.matches()) {
                    method = new Method(owner, head.group(1), new ArrayList<>());
                    methods.add(method);
                } else if (line.equals("  static {};")) {
                    method = new Method(owner, "static", new ArrayList<>());
                    methods.add(method);
                } else if (op.matches() && method != null) {
                    method.code.add(op.group(1));
                    Matcher called = Pattern.compile("\\.(makeTransient\\w+):").matcher(op.group(2));
                    if (called.find()) {
                        method.code.add(called.group(1));
                    }
                }
            }
        }
        assertTrue(methods.size() > 100, "the byte code was not read");
        return methods;
    }

    private static String javap(String option) throws IOException {
        StringBuilder all = new StringBuilder();
        for (Path file : list(CLASSES, ".class")) {
            all.append(run(option, file.toString()));
        }
        return all.toString();
    }

    private static String javap(String first, String second, Path file) {
        return run(first, second, file.toString());
    }

    private static String run(String... arguments) {
        StringWriter out = new StringWriter();
        int code = ToolProvider.findFirst("javap").orElseThrow().run(
            new PrintWriter(out), new PrintWriter(out), arguments);
        assertEquals(0, code, out.toString());
        return out.toString();
    }

    private static List<Path> list(Path folder, String ending) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(ending)).sorted().toList();
        }
    }
}
