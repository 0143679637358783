"""Scripts that try to get out, to stay for ever or to take everything, and what each must come to.

Holds the cases only; `test_corpus.py` runs them. Must not depend on how fast a machine is: a script that one machine
finishes within its limit and another does not has both endings. Keeps the invariant that a case without a value names
the kinds of failure it may end with.
"""

from typing import Final, NamedTuple

from engine.json_value import JsonValue
from streams.scripts.jobs import FailureKind, Form, Language

TIMEOUT, MEMORY, THROWN = FailureKind.TIMEOUT, FailureKind.MEMORY, FailureKind.THROWN
SYNTAX, FORBIDDEN, CRASHED = FailureKind.SYNTAX, FailureKind.FORBIDDEN, FailureKind.CRASHED
NOT_JSON, RESULT_TOO_LARGE = FailureKind.NOT_JSON, FailureKind.RESULT_TOO_LARGE


class Case(NamedTuple):
    """One script. `kinds` empty: it gives `value`. `words`: what its message says."""

    name: str
    language: Language
    source: str
    kinds: frozenset[FailureKind]
    words: str
    value: JsonValue
    form: Form


def js(name: str, source: str, *kinds: FailureKind, words: str = "", form: Form = Form.COMPLETION) -> Case:
    """Return a case of JavaScript that fails."""
    return Case(f"js {name}", Language.JAVASCRIPT, source, frozenset(kinds), words, None, form)


def js_holds(name: str, source: str) -> Case:
    """Return a case of JavaScript that is harmless and true."""
    return js_gives(name, source, value=True)


def js_gives(name: str, source: str, value: JsonValue, form: Form = Form.COMPLETION) -> Case:
    """Return a case of JavaScript that is harmless."""
    return Case(f"js {name}", Language.JAVASCRIPT, source, frozenset(), "", value, form)


def jq(name: str, source: str, *kinds: FailureKind, words: str = "") -> Case:
    """Return a case of jq that fails."""
    return Case(f"jq {name}", Language.JQ, source, frozenset(kinds), words, None, Form.COMPLETION)


def jq_gives(name: str, source: str, value: JsonValue) -> Case:
    """Return a case of jq that is harmless; `value` is the list of its results."""
    return Case(f"jq {name}", Language.JQ, source, frozenset(), "", value, Form.COMPLETION)


DOCUMENT: Final[JsonValue] = {"a": 1, "rows": [{"n": 1}, {"n": 2}], "text": "x", "__proto__": {"polluted": True}}
"""What every case gets."""

ENDLESS_JAVASCRIPT: Final = (
    js("while", "while (true);", TIMEOUT, words="longer than"),
    js("for with try", "for (;;) { try { for (;;); } catch (e) {} }", TIMEOUT),
    js("finally that goes on", "function f() { try { while (true); } finally { while (true); } } f()", TIMEOUT),
    js("in a lambda", "while (true); return 1", TIMEOUT, form=Form.FUNCTION),
    js("generator", "function* g() { while (true) yield 1; } for (const x of g());", TIMEOUT),
    js("getter", "({ get a() { while (true); } }).a", TIMEOUT),
    js("toJSON", "({ toJSON() { while (true); } })", TIMEOUT),
    js("toString of what is thrown", "throw { toString() { while (true); }, toJSON() { return undefined; } }", TIMEOUT),
    js(
        "message of what is thrown",
        "const e = new Error(); Object.defineProperty(e, 'message', { get() { while (true); } }); throw e",
        TIMEOUT,
    ),
    js(
        "stack of what is thrown",
        "const e = new Error(); Object.defineProperty(e, 'stack', { get() { while (true); } }); throw e",
        TIMEOUT,
    ),
    js("proxy trap", "new Proxy({}, { get() { while (true); } }).x", TIMEOUT),
    js("proxy as result", "new Proxy({}, { ownKeys() { while (true); } })", TIMEOUT),
    js("proxy as error", "throw new Proxy(new Error(), { getPrototypeOf() { while (true); } })", TIMEOUT),
    js("sort comparator", "[3, 2, 1].sort(() => { while (true); })", TIMEOUT),
    js("replacer", "'x'.replace(/x/, () => { while (true); })", TIMEOUT),
    js("reviver", "JSON.parse('[1]', () => { while (true); })", TIMEOUT),
    js("inner eval", "eval('while (true);')", TIMEOUT),
    js(
        "Symbol.hasInstance of Promise",
        "Object.defineProperty(Promise, Symbol.hasInstance, { value() { while (true); } }); ({})",
        TIMEOUT,
    ),
    js(
        "setter on Object.prototype",
        "Object.defineProperty(Object.prototype, 'x', { set() { while (true); } }); ({}).x = 1",
        TIMEOUT,
    ),
    js("regex, nested quantifier", "/(a+)+$/.test('a'.repeat(60) + 'b')", TIMEOUT),
    js("regex, alternatives", "/^(a|a|aa)*$/.test('a'.repeat(60) + 'b')", TIMEOUT),
    js("regex, backreference", "/^(a*)*\\1*b$/.test('a'.repeat(60))", TIMEOUT, MEMORY, THROWN),
    js("regex over a long text", "/(.*)*x/.test('a'.repeat(100000))", TIMEOUT, MEMORY, THROWN),
)

NATIVE_JAVASCRIPT: Final = (
    js("indexOf", "new Array(4e9).indexOf(1)", TIMEOUT),
    js("includes", "Array.prototype.includes.call({ length: 2 ** 52 }, 1)", TIMEOUT),
    js("lastIndexOf", "new Array(4e9).lastIndexOf(1)", TIMEOUT),
    js("reverse", "[].concat(new Array(4e9)).reverse()", TIMEOUT, MEMORY),
    js("join", "new Array(1e9).join()", TIMEOUT, MEMORY),
    js("sort", "new Array(4e9).sort()", TIMEOUT, MEMORY),
    js("fill", "Array.prototype.fill.call({ length: 2 ** 52 }, 0)", TIMEOUT, MEMORY),
    js("Array.from", "Array.from({ length: 4e9 })", TIMEOUT, MEMORY),
    js("copyWithin", "Array.prototype.copyWithin.call({ length: 2 ** 52 }, 0, 1)", TIMEOUT),
    js("flat", "const deep = [1]; const wide = new Array(1e8).fill(deep).flat(); wide.length", TIMEOUT, MEMORY),
    js("search in a text", "const t = 'a'.repeat(5e6); for (;;) t.indexOf('a'.repeat(2500000) + 'b')", TIMEOUT),
    js("search from the end", "const t = 'a'.repeat(5e6); for (;;) t.lastIndexOf('b' + 'a'.repeat(2500000))", TIMEOUT),
    js("replaceAll", "'a'.repeat(5e6).replaceAll('a', 'b'.repeat(100))", TIMEOUT, MEMORY),
    js("split", "'a'.repeat(5e7).split('').length", TIMEOUT, MEMORY),
    js("normalize", "for (;;) '\\u1e9b\\u0323'.repeat(1e6).normalize('NFKD')", TIMEOUT, MEMORY),
    js("power of a BigInt", "(7n ** 5000000n).toString().length", TIMEOUT, MEMORY, THROWN),
    js("BigInt to text", "const n = 10n ** 300000n; for (;;) n.toString()", TIMEOUT),
    js("BigInt above its bound", "((1n << 4000000n) - 1n).toString().length", THROWN, words="too large"),
    js("JSON of a graph", "let g = []; for (let i = 0; i < 60; i++) g = [g, g]; g", TIMEOUT, MEMORY, NOT_JSON),
    js(
        "JSON of a graph, by the script",
        "let g = ['x']; for (let i = 0; i < 60; i++) g = [g, g]; JSON.stringify(g)",
        TIMEOUT,
        MEMORY,
    ),
    js("text of a graph", "let g = ['x']; for (let i = 0; i < 60; i++) g = [g, g]; String(g)", TIMEOUT, MEMORY),
)

MEMORY_JAVASCRIPT: Final = (
    js("typed array", "new Uint8Array(1e9)", MEMORY, words="memory"),
    js("typed arrays, many", "const all = []; for (;;) all.push(new Uint8Array(1e6).fill(1))", MEMORY),
    js("array that grows", "const all = []; for (;;) all.push({ a: 1 })", MEMORY, TIMEOUT),
    js("map that grows", "const all = new Map(); for (let i = 0; ; i++) all.set('k' + i, i)", MEMORY, TIMEOUT),
    js("text that doubles", "let s = 'x'; for (;;) s += s", MEMORY),
    js("text, repeated", "'x'.repeat(2 ** 29).length", MEMORY, THROWN),
    js("text, padded", "'x'.padStart(2 ** 29).length", MEMORY, THROWN),
    js("arguments, spread", "Math.max(...new Array(1e8))", MEMORY, THROWN, TIMEOUT),
    js("closures", "let f = () => 1; for (;;) { const g = f; f = () => g; }", MEMORY, TIMEOUT),
    js(
        "memory, caught and tried again",
        "for (;;) { try { const a = []; for (;;) a.push(new Uint8Array(1e6)); } catch (e) {} }",
        TIMEOUT,
        MEMORY,
    ),
    js_gives("memory, caught", "let n = 0; try { new Uint8Array(1e9); } catch (e) { n = 1; } n", 1),
)

DEEP_JAVASCRIPT: Final = (
    js("recursion", "function f() { return f() + 1; } f()", THROWN, words="call stack"),
    js("recursion through getters", "const o = { get a() { return this.a; } }; o.a", THROWN),
    js(
        "recursion through proxies",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x",
        THROWN,
        MEMORY,
        TIMEOUT,
        CRASHED,
    ),
    js("recursion through toString", "const o = { toString() { return '' + o; } }; '' + o", THROWN),
    js("deep result", "let d = []; for (let i = 0; i < 300; i++) d = [d]; d", NOT_JSON, words="nested"),
    js("very deep result", "let d = []; for (let i = 0; i < 1e6; i++) d = [d]; d", NOT_JSON, MEMORY, TIMEOUT),
    js("deep text of JSON", "JSON.parse('['.repeat(1e6))", THROWN, MEMORY),
    js("deep source", "eval('('.repeat(1e5) + ')'.repeat(1e5))", THROWN, SYNTAX, MEMORY),
    js("deep regex", "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))", THROWN, MEMORY),
    js("deep array to text", "let d = []; for (let i = 0; i < 1e6; i++) d = [d]; '' + d", THROWN, MEMORY, TIMEOUT),
)

ESCAPES_JAVASCRIPT: Final = (
    js("process", "process.env", THROWN, words="process is not defined"),
    js("require", "require('fs').readFileSync('/etc/passwd')", THROWN, words="require is not defined"),
    js("module by import", "import('fs')", NOT_JSON, words="promise"),
    js("module by statement", "import fs from 'fs'; fs", SYNTAX),
    js("await", "await import('fs')", SYNTAX),
    js("std of the engine", "std.open('/etc/passwd', 'r')", THROWN, words="std is not defined"),
    js("os of the engine", "os.exec(['id'])", THROWN, words="os is not defined"),
    js("network", "fetch('http://127.0.0.1/')", THROWN, words="fetch is not defined"),
    js("Java", "Java.type('java.lang.System').exit(1)", THROWN, words="Java is not defined"),
    js("console", "console.log(1)", THROWN, words="console is not defined"),
    js("print", "print(1)", THROWN, words="print is not defined"),
    js("timer", "setTimeout(() => 1, 1)", THROWN, words="setTimeout is not defined"),
    js(
        "global by constructor",
        "[].constructor.constructor('return process')()",
        THROWN,
        words="process is not defined",
    ),
    js("global by a generator's constructor", "(function* () {}).constructor('yield process')().next()", THROWN),
    js(
        "wait on shared memory",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        THROWN,
        words="Atomics is not defined",
    ),
    js("clock of the machine", "performance.now()", THROWN, words="performance is not defined"),
    js("caller", "(function () { return arguments.callee.caller.toString(); })()", THROWN, words="cannot read"),
    js_gives("frame on the stack", "Error.prepareStackTrace = (e, s) => typeof s; typeof new Error().stack", "string"),
    js_gives(
        "globals",
        "Object.getOwnPropertyNames(globalThis).filter(n => /^(podium.*|process|os|std|print|env)$/.test(n))",
        [],
    ),
    js_holds("prototype of the input", "$.polluted === undefined && ({}).polluted === undefined"),
    js_gives("JSON replaced", "JSON.stringify = () => '1'; JSON.parse = null; ({ a: 2 })", {"a": 2}),
    js_gives(
        "intrinsics broken",
        "String.prototype.slice = null; Reflect.apply = null; Array.prototype.push = null; [1]",
        [1],
    ),
    js_gives("toJSON on every object", "Object.prototype.toJSON = () => 'gotcha'; ({ a: 2 })", "gotcha"),
    js(
        "toJSON on every object, thrown",
        "Object.prototype.toJSON = () => 'gotcha'; throw { a: 2 }",
        THROWN,
        words="gotcha",
    ),
    js_gives(
        "Object.prototype frozen", "Object.freeze(Object.prototype); Object.freeze(globalThis); ({ a: 2 })", {"a": 2}
    ),
    js_gives("body that closes its function", "}); (function () {", None, form=Form.FUNCTION),
    js_holds("dates differ from none", "new Date().getTime() === Date.now() && new Date().constructor === Date"),
)

RESULTS_JAVASCRIPT: Final = (
    js("function", "() => 1", NOT_JSON, words="function"),
    js("symbol", "Symbol('x')", NOT_JSON, words="symbol"),
    js("BigInt", "10n", NOT_JSON, words="bigint"),
    js("BigInt within", "({ a: [10n] })", NOT_JSON, words="BigInt"),
    js("circle", "const o = {}; o.o = o; o", NOT_JSON, words="circular"),
    js("half a character", "'\\ud83d'", NOT_JSON, words="half of a character"),
    js("large text", "'x'.repeat(3e6)", RESULT_TOO_LARGE, words="bytes"),
    js("many values", "new Array(300000).fill(0)", RESULT_TOO_LARGE, words="values"),
    js("thrown null", "throw null", THROWN, words="null"),
    js("thrown text", "throw 'no'", THROWN, words="no"),
    js("thrown, large", "throw new Error('x'.repeat(1e6))", THROWN),
    js("thrown, half a character", "throw new Error('\\ud83d')", THROWN),
    js("thrown proxy", "throw new Proxy({}, { get() { throw 1; } })", THROWN, words="cannot be described"),
    js("own InternalError", "throw new InternalError('interrupted')", THROWN, words="interrupted"),
    js("own SyntaxError", "JSON.parse('{')", THROWN, words="SyntaxError"),
    js("malformed", "if (", SYNTAX, words="SyntaxError"),
    js("malformed lambda", "return (", SYNTAX, words="SyntaxError", form=Form.FUNCTION),
    js("null", "null.x", THROWN, words="cannot read property 'x' of null"),
)

ENDLESS_JQ: Final = (
    jq("range, many results", "range(1e9)", TIMEOUT, RESULT_TOO_LARGE),
    jq("range, one result", "[range(1e9)] | length", TIMEOUT, MEMORY),
    jq("range, no result", "[range(1e12) | select(. < 0)]", TIMEOUT),
    jq("function of itself", "def f: f; f", TIMEOUT, MEMORY),
    jq("function that wraps itself", "def f: [f]; f", TIMEOUT, MEMORY),
    jq("recurse", "last(recurse(.))", TIMEOUT, MEMORY),
    jq("repeat", "last(repeat(.))", TIMEOUT, MEMORY),
    jq("until", "until(false; .)", TIMEOUT, MEMORY),
    jq("while", "last(1 | while(true; .))", TIMEOUT, MEMORY),
    jq("limit, far away", "last(limit(1e15; repeat(1)))", TIMEOUT, MEMORY),
    jq("empty for ever", "first(repeat(1) | empty)", TIMEOUT, MEMORY),
    jq("regex", '("a" * 60 + "b") | test("^(a+)+$")', TIMEOUT, THROWN),
    jq("text, repeated", '"x" * 1000000000 | length', MEMORY, THROWN, TIMEOUT),
    jq("text that doubles", 'reduce range(100) as $i ("x"; . + .) | length', MEMORY, THROWN, TIMEOUT),
    jq("combinations", "[range(50)] | [., ., ., ., .] | [combinations] | length", TIMEOUT, MEMORY),
    jq("far index", ".[1000000000] = 1", THROWN, MEMORY),
    jq("far index of a list", "[] | .[500000000] = 1 | length", THROWN, MEMORY, TIMEOUT),
    jq("path for ever", "[paths(..; true)] | length", SYNTAX, TIMEOUT),
)

DEEP_JQ: Final = (
    jq("deep result", "reduce range(300) as $i (1; [.])", NOT_JSON, words="nested"),
    jq("very deep result", "reduce range(1000000) as $i (1; [.])", NOT_JSON, CRASHED, TIMEOUT, MEMORY),
    jq(
        "deep to text",
        "reduce range(1000000) as $i (1; [.]) | tojson | length",
        CRASHED,
        TIMEOUT,
        MEMORY,
        THROWN,
        RESULT_TOO_LARGE,
    ),
    jq("deep from text", '("[" * 1000000) | fromjson', THROWN),
    jq("deep path", "[range(100000) | 0] as $p | null | setpath($p; 1)", NOT_JSON, CRASHED, TIMEOUT, MEMORY, THROWN),
    jq("deep program", "(" * 30000 + "." + ")" * 30000, SYNTAX, MEMORY, CRASHED),
)

ESCAPES_JQ: Final = (
    jq("environment", "env", FORBIDDEN, words="environment"),
    jq("environment, by name", "$ENV.HOME", FORBIDDEN, words="environment"),
    jq("environment, in a text", '"home: \\(env.HOME)"', FORBIDDEN, words="environment"),
    jq("environment, in a text in a text", '"a\\("b\\(1 | env)")c"', FORBIDDEN),
    jq("environment, as a value", "{a: env}", FORBIDDEN),
    jq("environment, within a condition", "{a: if 1, env, 2 then 1 else 2 end}", FORBIDDEN),
    jq("environment, after a key named if", '"\\({if: 1})" | env | "x"', FORBIDDEN),
    jq("environment, after an unclear comment", '# \\\n "\n env # "', FORBIDDEN),
    jq("file by import", 'import "secret" as $d {"search": "/tmp"}; $d', FORBIDDEN, words="files"),
    jq("file by include", 'include "x" {"search": "/tmp"}; .', FORBIDDEN, words="files"),
    jq("file by modulemeta", '"x" | modulemeta', FORBIDDEN),
    jq("search path", "get_search_list", FORBIDDEN),
    jq("next input", "input", FORBIDDEN, words="there is no other"),
    jq("all inputs", "[inputs]", FORBIDDEN),
    jq("name of the input", "input_filename", FORBIDDEN),
    jq("log", ". | debug", FORBIDDEN, words="log"),
    jq("log, with a message", 'debug("x")', FORBIDDEN),
    jq("standard error", "stderr", FORBIDDEN),
    jq("end", "halt", FORBIDDEN, words="ends the process"),
    jq("end with an error", '"x" | halt_error(1)', FORBIDDEN),
    jq("NUL", ". \0 env", FORBIDDEN, words="NUL"),
    jq("unknown function", "system", SYNTAX, words="not defined"),
    jq("malformed", ".a |", SYNTAX),
    jq("no program", " # nothing", SYNTAX),
    jq("own error", 'error("no")', THROWN, words="no"),
    jq("wrong type", ".a.b", THROWN, words="Cannot index number"),
    jq_gives("keys with refused names", "{env: 1, input, debug: .a} | .env, .input, .debug", [1, None, 1]),
    jq_gives("fields with refused names", '.env, ."input", ."debug"?, .["import"]', [None, None, None, None]),
    jq_gives("refused names in texts and comments", '"env" # env\n', ["env"]),
    jq_gives("not a number", "nan, infinite, [nan]", [None, 1.7976931348623157e308, [None]]),
    jq_gives("broken code points", "[55296, 1114112] | implode", ["\ufffd\ufffd"]),
    jq_gives("no result", "empty", []),
)

CASES: Final = (
    *ENDLESS_JAVASCRIPT,
    *NATIVE_JAVASCRIPT,
    *MEMORY_JAVASCRIPT,
    *DEEP_JAVASCRIPT,
    *ESCAPES_JAVASCRIPT,
    *RESULTS_JAVASCRIPT,
    *ENDLESS_JQ,
    *DEEP_JQ,
    *ESCAPES_JQ,
)
