import assert from "node:assert/strict";
import { test } from "node:test";

import { parseHex, toHex } from "../src/index.ts";

test("reads six digits", () => {
  assert.deepEqual(parseHex("#336699"), { red: 51, green: 102, blue: 153 });
});

test("writes six digits", () => {
  assert.equal(toHex({ red: 51, green: 102, blue: 153 }), "#336699");
});

test("refuses what is no colour", () => {
  assert.throws(() => parseHex("#12"), /is no colour/);
});
