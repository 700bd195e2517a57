// SPDX-License-Identifier: Apache-2.0
// Node's --require of a Thaw function: gives Math.random() and the caches of crypto new seeds in each invocation.
//
// V8 seeds Math.random() once, when a context begins, so its numbers after a thaw would be the same in every clone.
// And crypto.randomUUID() and crypto.randomInt() keep entropy in store, which a clone would have in common with others.
// Each is therefore replaced by a function that looks whether this is another generation, which /proc/self shows, since
// process.pid is Node's own copy. Before the thaw it answers what Node answers. After it, Math.random() is a generator
// of this hook with a seed of the system's, and the stores are used up first. In a clone the look is done once.
//
// A context of the vm module and a worker that begins after the thaw have a generator of V8's, which no script can seed.
'use strict';

(() => {
  const fs = require('fs');
  const { readlinkSync, openSync, readSync, closeSync } = fs;
  const VARIABLE = 'NODE_OPTIONS';
  const OPTION = `--require=${__filename}`;

  // The program's environment and its cache of modules are as without the hook.
  const options = process.env[VARIABLE];
  if (options === OPTION) delete process.env[VARIABLE];
  else if (options && options.startsWith(`${OPTION} `)) process.env[VARIABLE] = options.slice(OPTION.length + 1);
  delete require.cache[__filename];

  const generation = () => {
    try {
      return readlinkSync('/proc/self');
    } catch {
      return undefined;
    }
  };
  const boot = generation();
  if (boot === undefined) return;

  // The state of sfc32: 53 bits of two words of it are a number.
  let a = 0, b = 0, c = 0, d = 0;
  const next = () => {
    const word = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + word | 0;
    return word >>> 0;
  };

  const seed = () => {
    const words = new Int32Array(4);
    const fd = openSync('/dev/urandom', 'r');
    try {
      readSync(fd, words, 0, 16, null);
    } finally {
      closeSync(fd);
    }
    [a, b, c, d] = words;
  };

  // What a function of the store is replaced by has its name, its length and its place.
  const replace = (object, name, make) => {
    const descriptor = Object.getOwnPropertyDescriptor(object, name);
    if (!descriptor || typeof descriptor.value !== 'function') return;
    const original = descriptor.value;
    const value = make(original);
    for (const key of ['name', 'length'])
      Object.defineProperty(value, key, Object.getOwnPropertyDescriptor(original, key));
    Object.defineProperty(object, name, { ...descriptor, value });
  };

  const UUIDS = 128, INTEGERS = 1024; // as many as the stores hold
  let thawed = false, uuids = false, integers = false;
  let randomUUID, randomInt;

  // Looks whether the thaw has come. The stores are used up, or left alone if nothing was taken before it.
  const look = () => {
    if (generation() === boot) return false;
    seed();
    thawed = true;
    if (uuids) for (let i = 0; i < UUIDS; i++) randomUUID();
    if (integers) for (let i = 0; i < INTEGERS; i++) randomInt(256);
    return true;
  };

  const seeded = process.execArgv.some((word) => /^--random[-_]seed/.test(word)) || /--random[-_]seed/.test(options);
  if (!seeded) {
    const TWO_21 = 0x200000, STEP = 2 ** -53;
    replace(Math, 'random', (original) => ({
      random() {
        if (!thawed && !look()) return original();
        return (next() * TWO_21 + (next() >>> 11)) * STEP;
      },
    }).random.bind(undefined)); // a bound function's text is that of a native one
  }

  let crypto;
  try {
    crypto = require('crypto');
  } catch {
    return; // a Node without it
  }
  const stored = (original, note) => function(...args) {
    if (!thawed && !look()) note();
    return Reflect.apply(original, this, args);
  };
  const noteUUID = () => { uuids = true; };
  ({ randomUUID, randomInt } = crypto);
  replace(crypto, 'randomUUID', (original) => stored(original, noteUUID));
  replace(crypto, 'randomInt', (original) => stored(original, () => { integers = true; }));
  if (crypto.webcrypto) replace(Object.getPrototypeOf(crypto.webcrypto), 'randomUUID', (original) => stored(original, noteUUID));
  require('module').syncBuiltinESMExports();
})();
