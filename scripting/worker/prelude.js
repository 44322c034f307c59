// Runs in a new context before the script, and leaves it only what a script may have.
(function () {
  "use strict";
  const host = globalThis.__host, calls = globalThis.__calls;
  delete globalThis.__host;
  delete globalThis.__calls;
  const DEEPEST = 500;
  const { isArray } = Array, { isSafeInteger, isFinite } = Number, { is, keys, getPrototypeOf } = Object;
  const { parse, stringify } = JSON, { asIntN } = BigInt;
  const indirect = globalThis.eval;
  const outcome = { text: null };
  let named = "";

  // Values to JSON text.

  class Unstorable extends TypeError {}
  Unstorable.prototype.name = "value";

  function quoted(value, path) {
    if (!value.isWellFormed()) throw new Unstorable(`${path}: a text with half a surrogate cannot be stored`);
    return stringify(value);
  }

  function number(value, path) {
    if (!isFinite(value)) throw new Unstorable(`${path}: ${value} cannot be stored`);
    if (is(value, -0)) return "-0.0";
    if (isSafeInteger(value)) return String(value);
    const text = String(value);
    return /[.e]/.test(text) ? text : text + ".0";
  }

  function encode(value, path, depth) {
    switch (typeof value) {
      case "string": return quoted(value, path);
      case "number": return number(value, path);
      case "boolean": return String(value);
      case "bigint":
        if (asIntN(64, value) !== value) throw new Unstorable(`${path}: an integer beyond 64 bits cannot be stored`);
        return String(value);
      case "object": return value === null ? "null" : composed(value, path, depth);
      case "undefined": throw new Unstorable(`${path}: undefined is nothing that could be stored; use null, or delete`);
      default: throw new Unstorable(`${path}: a ${typeof value} cannot be stored`);
    }
  }

  function composed(value, path, depth) {
    if (depth > DEEPEST) throw new Unstorable(`${path}: nests deeper than ${DEEPEST} levels`);
    const parts = [];
    if (isArray(value)) {
      for (let i = 0; i < value.length; i++) parts.push(encode(value[i], `${path}[${i}]`, depth + 1));
      return `[${parts.join(",")}]`;
    }
    const made = getPrototypeOf(value);
    if (made !== Object.prototype && made !== null) {
      throw new Unstorable(`${path}: a ${made?.constructor?.name ?? "thing"} cannot be stored; make a plain object of it`);
    }
    for (const key of keys(value)) {
      if (value[key] === undefined) continue; // as JSON.stringify does
      parts.push(`${quoted(key, path)}:${encode(value[key], `${path}.${key}`, depth + 1)}`);
    }
    return `{${parts.join(",")}}`;
  }

  // JSON text to values: integers that a number would change become BigInt.

  const LONG = /\d{16}/;

  function decode(text) {
    return LONG.test(text) ? exact(text) : parse(text);
  }

  function exact(text) {
    let at = 0;
    function string() {
      const start = at++;
      while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
      return parse(text.slice(start, ++at));
    }
    function next() {
      const c = text[at];
      if (c === '"') return string();
      if (c === "{" || c === "[") {
        const made = c === "{" ? {} : [], end = c === "{" ? "}" : "]";
        at++;
        while (text[at] !== end) {
          if (text[at] === ",") at++;
          if (c === "[") { made.push(next()); continue; }
          const key = string();
          at++;
          const value = next();
          Object.defineProperty(made, key, { value, enumerable: true, configurable: true, writable: true });
        }
        at++;
        return made;
      }
      for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
        if (text.startsWith(word, at)) { at += word.length; return value; }
      }
      const start = at;
      while (at < text.length && !",]}".includes(text[at])) at++;
      const token = text.slice(start, at), made = Number(token);
      return /[.eE]/.test(token) || isSafeInteger(made) ? made : BigInt(token);
    }
    return next();
  }

  // Calls of the host. A call that failed and was not awaited fails the script, also behind what
  // takes no failures: then(f), finally(f).

  const failed = new Map();

  class Answer extends Promise {
    then(resolved, rejected) {
      const next = super.then(resolved, rejected);
      if (typeof rejected !== "function") handOn(this, next);
      failed.delete(this);
      return next;
    }

    finally(ended) {
      const next = super.finally(ended);
      handOn(this, next);
      return next;
    }
  }

  function fails(promise, failure) {
    promise.failure = failure;
    failed.set(promise, failure);
  }

  function handOn(promise, next) {
    if (promise.failure) fails(next, promise.failure);
  }

  function ask(call, given) {
    const parts = [];
    for (const value of given) {
      const path = `argument ${parts.length + 1} of ${call}`;
      parts.push(value === undefined ? "[]" : `[${encode(value, path, 0)}]`);
    }
    const answer = decode(host(`["call",${stringify(call)},[${parts.join(",")}]]`));
    if (answer[0] === "ok") return answer[1];
    const error = new Error(answer[2]);
    error.name = error.kind = answer[1];
    throw error;
  }

  function exported(call, later) {
    const made = (...given) => {
      if (!later) return ask(call, given);
      try {
        return Answer.resolve(ask(call, given));
      } catch (error) {
        const promise = Answer.reject(error);
        fails(promise, error);
        return promise;
      }
    };
    // By their name the calls are told from the script in a stack.
    Object.defineProperty(made, "name", { value: "[perdure]" });
    return made;
  }
  for (const inner of [Unstorable, ask, encode, composed, number, quoted, done, begun, begin]) Object.defineProperty(inner, "name", { value: "[perdure]" });

  for (const call of calls.split(" ")) {
    const [group, method] = call.split(".");
    if (call === "log") continue;
    if (method === undefined) {
      globalThis[call] = exported(call, true);
      continue;
    }
    globalThis[group] ??= {};
    globalThis[group][method] = exported(call, true);
  }

  const write = exported("log", false);
  const shown = (value) => {
    if (typeof value === "string") return value.toWellFormed();
    try { return encode(value, "", 0); } catch { return String(value).toWellFormed(); }
  };
  const log = (...values) => { write(values.map(shown).join(" ")); };
  Object.defineProperty(log, "name", { value: "[perdure]" });
  Object.assign(globalThis, { log, print: log, console: { log, info: log, warn: log, error: log }, missing: undefined });

  // Runs the script, and keeps what the host is told of its end.

  function place(stack) {
    for (const frame of String(stack ?? "").split("\n")) {
      const found = /at (.*?) ?\(?<input>:(\d+)(?::\d+)?\)?$/.exec(frame);
      if (found && found[1] !== "[perdure]") return Number(found[2]);
    }
    return 0;
  }

  // A stack as people read it: the script by its name, and nothing of this file.
  function readable(stack) {
    return String(stack ?? "").split("\n")
      .filter((frame) => frame.includes("<input>") && !/at \[perdure\] /.test(frame))
      .map((frame) => { const at = frame.indexOf("<input>"); return frame.slice(0, at) + named + frame.slice(at + 7); })
      .join("\n");
  }

  function told(error) {
    let kind = "error", message, line = 0, trace = "";
    try {
      if (error instanceof Error) {
        const ours = error.kind !== undefined || error instanceof Unstorable;
        kind = ours ? String(error.kind ?? error.name) : "error";
        message = ours ? String(error.message) : `${error.name}: ${error.message}`;
        line = place(error.stack);
        trace = readable(error.stack);
      } else {
        message = shown(error);
      }
    } catch {
      message = "the script threw what cannot be shown";
    }
    // Without memory for an error, the engine throws null.
    if (error === null || message === "InternalError: out of memory") kind = "memory";
    if (kind === "error" && error instanceof SyntaxError) kind = "syntax";
    const text = (value) => stringify(String(value).toWellFormed());
    // Joined: what the engine adds up of long texts is no text that its host can take.
    return ['["failed",{"kind":', text(kind), ',"message":', text(message), ',"line":', line, ',"trace":', text(trace), "}]"].join("");
  }

  function done(value) {
    return value === undefined ? '["done"]' : `["done",${encode(value, "the result", 0)}]`;
  }

  function settle(text) {
    outcome.text = text;
  }

  // Asked when nothing is left to do: what was not awaited may fail behind the script's end.
  globalThis.__outcome = () => {
    for (const error of failed.values()) return told(error);
    return outcome.text;
  };

  function begun(source, entry, given) {
    // Who sends a message chooses among the script's functions, and no others.
    if (entry in globalThis || entry === "arguments") throw new Error(`the script has no function ${entry}`);
    const tail = entry ? `\n;if (typeof ${entry} !== "function") throw new Error("the script has no function ${entry}");return await ${entry}(...arguments)` : "\n";
    return indirect(`(async function () {${source}${tail}})`)(...decode(given));
  }

  // What somebody types keeps its names: it runs as a script of its own, unless it awaits.
  async function typed(text) {
    const source = text.replace(/^\s*(?:let|const)\s/, "var ");
    const declares = /^\s*(?:async\s+)?function\b/.test(source);
    for (const form of declares ? [source] : [`(${source}\n)`, source]) {
      try {
        new Function(form);
      } catch {
        continue;
      }
      return await indirect(form);
    }
    try {
      new Function(`return async function () {return (${source}\n)}`);
    } catch {
      return await begun(source, "", "[]");
    }
    return await indirect(`(async function () {return (${source}\n)})`)();
  }

  function begin(source, entry, given, repeated, name) {
    outcome.text = null;
    named = name;
    failed.clear();
    try {
      const ended = repeated ? typed(source) : begun(source, entry, given);
      ended.then(done).then(settle, (error) => settle(told(error)));
    } catch (error) {
      settle(told(error));
    }
  }
  globalThis.__begin = begin;
})();
