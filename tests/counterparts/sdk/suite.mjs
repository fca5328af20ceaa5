// What the checks of all SDKs share: a list of tried calls, and a hand on the simulators' control API.

import assert from "node:assert/strict";

export class Suite {
  constructor(sdk, simulators) {
    Object.assign(this, { sdk, simulators, tried: [], untried: [] });
  }

  // Runs one check; a failure is noted and the others go on.
  async try(call, check) {
    const entry = { call };
    this.tried.push(entry);
    try {
      return await check();
    } catch (error) {
      entry.failure = `${error.name}: ${error.message}`.split("\n").slice(0, 12).join(" ");
    }
  }

  // Names what this SDK cannot be asked to do.
  cannot(call, why) {
    this.untried.push({ call, why });
  }

  async control(method, path, body) {
    const { url, header, token } = this.simulators.control;
    const answer = await fetch(url + path, { method, headers: { [header]: token }, body: body && JSON.stringify(body) });
    const said = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(said));
    return said;
  }

  contents(api) {
    return this.control("GET", `/contents/${api}`);
  }

  // The next request to `api` that `only` means (any without it) goes wrong.
  async fault(api, kind, more = {}) {
    await this.control("POST", "/faults", { api, kind, remaining: 1, ...more });
  }
}

// The error that a call must end with.
export async function refusal(promise) {
  const answer = await promise.then((value) => ({ value }), (error) => ({ error }));
  assert.ok(answer.error, `it was not refused: ${JSON.stringify(answer.value)?.slice(0, 200)}`);
  return answer.error;
}

// All items of a list that comes in pages: `page(cursor)` answers `[items, next]`.
export async function all(page) {
  const items = [];
  let cursor;
  do {
    const [some, next] = await page(cursor);
    items.push(...some);
    cursor = next || undefined;
  } while (cursor);
  return items;
}

export { assert };
