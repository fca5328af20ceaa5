// What has no client that could be used: PagerDuty's events and the vendors' status feeds, as plain requests.

import { Suite, assert } from "./suite.mjs";

export async function pagerduty(simulators) {
  const suite = new Suite("PagerDuty events (plain HTTP)", simulators);
  const key = simulators.pagerduty.routingKey;
  const send = async (body) => {
    const answer = await fetch(`${simulators.endpoints.pagerduty}/enqueue`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
  };
  const event = (event_action, dedup_key, more) => ({ routing_key: key, event_action, dedup_key, ...more });
  const payload = { summary: "Notion circuit open", source: "opsctl", severity: "critical" };
  const alert = async (id) => (await suite.contents("pagerduty")).alerts[id];

  await suite.try("trigger, twice into one alert", async () => {
    for (let n = 0; n < 2; n++) {
      const { status, body } = await send(event("trigger", "a", { payload }));
      assert.deepEqual([status, body.dedup_key], [202, "a"]);
    }
    assert.deepEqual(await alert("a"), { status: "triggered", summary: payload.summary, triggers: 2 });
  });
  for (const [action, becomes] of [["acknowledge", "acknowledged"], ["resolve", "resolved"]]) {
    await suite.try(action, async () => {
      assert.equal((await send(event(action, "a"))).status, 202);
      assert.equal((await alert("a")).status, becomes);
    });
  }
  await suite.try("a follow-up of nothing is dropped", async () => {
    assert.equal((await send(event("resolve", "nothing"))).status, 202);
    assert.equal(await alert("nothing"), undefined);
  });
  await suite.try("400, what is wrong is named", async () => {
    const { status, body } = await send({ routing_key: "x", event_action: "trigger", payload: { ...payload, summary: "" } });
    assert.deepEqual([status, body.errors.length], [400, 2]);
  });
  for (const [kind, more, status] of [["rateLimited", { retryAfterSecs: 7 }, 429], ["serverError", { status: 503 }, 503], ["serverError", { status: 500 }, 500]]) {
    await suite.fault("pagerduty", kind, more);
    await suite.try(`${status}`, async () => assert.equal((await send(event("trigger", "b", { payload }))).status, status));
  }
  suite.cannot("@pagerduty/pdjs", "it takes a host name only and always speaks https");
  return suite;
}

export async function feeds(simulators) {
  const suite = new Suite("status feeds (plain HTTP)", simulators);
  const origin = new URL(simulators.endpoints.status_notion).origin;
  const read = async (path) => (await fetch(origin + path)).json();
  const open = (incidents) => incidents.filter((one) => !one.end).length;
  for (const vendor of ["notion", "trello"]) {
    await suite.try(vendor, async () => {
      assert.equal((await read(`/${vendor}/api/v2/status.json`)).status.indicator, "none");
      await suite.control("POST", `/feeds/${vendor}`, { indicator: "major" });
      assert.equal((await read(`/${vendor}/api/v2/summary.json`)).status.indicator, "major");
      assert.equal((await read(`/${vendor}/api/v2/incidents/unresolved.json`)).incidents.length, 1);
      await suite.control("POST", `/feeds/${vendor}`, {});
    });
  }
  await suite.try("slack", async () => {
    assert.equal((await read("/slack/api/v2.0.0/current")).status, "ok");
    await suite.control("POST", "/feeds/slack", { indicator: "major" });
    assert.equal((await read("/slack/api/v2.0.0/current")).active_incidents.length, 1);
    await suite.control("POST", "/feeds/slack", {});
  });
  await suite.try("google", async () => {
    const path = "/google/appsstatus/dashboard/incidents.json";
    assert.equal(open(await read(path)), 0);
    await suite.control("POST", "/feeds/google", { indicator: "minor", products: ["Google Drive"] });
    assert.equal(open(await read(path)), 1);
    await read("/google/appsstatus/dashboard/products.json");
    await suite.control("POST", "/feeds/google", {});
  });
  return suite;
}
