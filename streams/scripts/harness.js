// The frame in which every script of a user runs, evaluated once in each fresh context before the script.
//
// It takes away what differs from run to run (clock, chance, garbage collection), binds the input to `$`, evaluates the
// source and writes the outcome as one flat text: "V" and the value as JSON, or "F" and [kind, message, stack].
//
// It must not call anything through an object that the script can change: what it needs is taken before the script runs.
// Functions are named podium_… so that their lines can be told from the author's.
(function () {
  "use strict";

  const evaluate = globalThis.eval;
  const Compiled = Function;
  const TextOf = String;
  const RealDate = Date;
  const PromiseKind = Promise;
  const ErrorKind = Error;
  const SyntaxKind = SyntaxError;
  const InternalKind = InternalError;
  const { parse, stringify } = JSON;
  const { apply, construct, defineProperty, getOwnPropertyDescriptor, ownKeys } = Reflect;
  const cut = String.prototype.slice;
  const MESSAGE_CHARS_MAX = 2000;
  const STACK_CHARS_MAX = 4000;

  let now = 0;
  let words = null;

  // Concatenation makes ropes, which the binding cannot read; a slice of the whole is flat.
  function podium_flat(text) {
    return apply(cut, text, [0]);
  }

  function podium_quoted(text, charsMax) {
    return stringify(apply(cut, text, [0, charsMax]));
  }

  function podium_failed(kind, message, stack) {
    const parts = [podium_quoted(kind, MESSAGE_CHARS_MAX), podium_quoted(message, MESSAGE_CHARS_MAX)];
    return podium_flat("F[" + parts[0] + "," + parts[1] + "," + podium_quoted(stack, STACK_CHARS_MAX) + "]");
  }

  // Reading a thrown value runs code of the script (getters, proxies, toString): it may throw again, or never end.
  function podium_described(error) {
    if (typeof error === "object" && error instanceof ErrorKind) {
      return TextOf(error.name) + ": " + TextOf(error.message);
    }
    if (typeof error === "object" && error !== null) {
      return stringify(error) ?? TextOf(error);
    }
    return TextOf(error);
  }

  function podium_stack(error) {
    const stack = typeof error === "object" && error !== null ? error.stack : "";
    return typeof stack === "string" ? stack : "";
  }

  function podium_thrown(error, kind) {
    try {
      if (error === null) {
        // The author's, or the engine's: when there is no room left for an error object it throws null.
        return podium_failed("NULL", "null", "");
      }
      if (error instanceof InternalKind && (error.message === "out of memory" || error.message === "string too long")) {
        return podium_failed("MEMORY", "the script needed more memory than it may have", podium_stack(error));
      }
      return podium_failed(kind, podium_described(error), podium_stack(error));
    } catch {
      return podium_failed(kind, "the script threw something that cannot be described", "");
    }
  }

  function podium_isSyntaxError(error) {
    try {
      return typeof error === "object" && error instanceof SyntaxKind;
    } catch {
      return false;
    }
  }

  // A statement that throws before the author's first one: all of the source is parsed, none of it runs.
  function podium_syntax(form, source, strict) {
    try {
      if (form === "function") {
        new Compiled(source);
        return null;
      }
      evaluate((strict ? '"use strict";throw 0;' : "throw 0;") + source);
    } catch (error) {
      if (form === "function" || error !== 0) {
        return podium_thrown(error, "SYNTAX");
      }
    }
    return null;
  }

  function podium_written(value) {
    const kind = typeof value;
    if (value === undefined) {
      return "Vnull";
    }
    if (kind === "function" || kind === "symbol" || kind === "bigint") {
      return podium_failed("NOT_JSON", "the result is a " + kind + ", which JSON cannot hold", "");
    }
    try {
      if (value instanceof PromiseKind) {
        return podium_failed("NOT_JSON", "the result is a promise, and nothing here waits for one", "");
      }
      const text = stringify(value);
      return typeof text === "string" ? podium_flat("V" + text) : "Vnull";
    } catch (error) {
      return podium_thrown(error, "NOT_JSON");
    }
  }

  function podium_run(form, source, strict, document, nowMs, first, second, third, fourth) {
    now = nowMs;
    words = [first, second, third, fourth];
    try {
      globalThis.$ = parse(document);
    } catch (error) {
      return podium_thrown(error, "NOT_JSON");
    }
    let script = null;
    if (form === "function") {
      try {
        script = new Compiled(source);
      } catch (error) {
        return podium_thrown(error, "SYNTAX");
      }
    }
    let value;
    try {
      value = script === null ? evaluate(source) : apply(script, undefined, []);
    } catch (error) {
      // The script's own SyntaxError (of JSON.parse, of eval) comes from a source that is well-formed.
      const malformed = script === null && podium_isSyntaxError(error) ? podium_syntax(form, source, strict) : null;
      return malformed ?? podium_thrown(error, "THROWN");
    }
    return podium_written(value);
  }

  function podium_check(form, source, strict) {
    return podium_syntax(form, source, strict) ?? "Vnull";
  }

  // Xorshift with 128 bits of state: the same job draws the same numbers.
  function podium_word() {
    let mixed = words[3];
    const newest = words[0];
    words[3] = words[2];
    words[2] = words[1];
    words[1] = newest;
    mixed ^= mixed << 11;
    mixed ^= mixed >>> 8;
    words[0] = mixed ^ newest ^ (newest >>> 19);
    return words[0] >>> 0;
  }

  // A Date that always says the job's instant. `new.target` keeps subclasses working.
  const date = {
    Date: function (...parts) {
      if (new.target === undefined) {
        return podium_flat(TextOf(new RealDate(now)));
      }
      return construct(RealDate, parts.length === 0 ? [now] : parts, new.target);
    },
  }.Date;
  for (const key of ownKeys(RealDate)) {
    if (key !== "prototype") {
      defineProperty(date, key, getOwnPropertyDescriptor(RealDate, key));
    }
  }
  defineProperty(date, "prototype", { value: RealDate.prototype, writable: false, enumerable: false });
  defineProperty(date, "now", { value: { now: () => now }.now, writable: true, configurable: true, enumerable: false });
  RealDate.prototype.constructor = date;
  globalThis.Date = date;
  Math.random = { random: () => ((podium_word() >>> 5) * 67108864 + (podium_word() >>> 6)) / 9007199254740992 }.random;

  for (const name of [
    "performance",
    "Atomics",
    "SharedArrayBuffer",
    "WeakRef",
    "FinalizationRegistry",
    "queueMicrotask",
  ]) {
    delete globalThis[name];
  }

  return { run: podium_run, check: podium_check };
})();
