// Services that keep to the state contract, version 1 (docs/restate.md), for Trello: what a team writes in its own language
// to join in. Usage: node services.mjs PORT INGRESS TRELLO KEY TOKEN LIST
//
// Everything that can hold an action back is asked inside a `run`, so that it is asked again before each try, and what an
// action waits for is what Restate shows as its last failure.

// Node 20 lacks it; the SDK needs it.
Promise.withResolvers ??= () => {
  let resolve, reject;
  const promise = new Promise((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
};
const restate = await import("@restatedev/restate-sdk");

const [port, ingress, trelloUrl, key, token, list] = process.argv.slice(2);
const MARK = { "opsctl.contract": "v1" };
const RULES = { threshold: 5, windowMs: 60_000, openMs: 30_000, probesNeeded: 2 };
const LIMIT = { limit: 300, windowMs: 10_000 };
// Nothing of these calls is worth keeping.
const BRIEF = { journalRetention: 0 };
// Waiting is not failing: an action is not given up while a gate holds it.
const PATIENT = { retryPolicy: { initialInterval: 500, exponentiationFactor: 4, maxInterval: 30_000, maxAttempts: 100_000 } };

const gate = restate.object({
  name: "Gate",
  options: BRIEF,
  handlers: {
    check: restate.handlers.object.shared(async (ctx) => ({
      paused: (await ctx.get("paused")) === true,
      reason: await ctx.get("reason"),
    })),
  },
});

const circuit = restate.object({
  name: "Circuit",
  options: BRIEF,
  handlers: {
    check: restate.handlers.object.shared(async (ctx) => {
      const until = await ctx.get("willResetAt");
      const open = (await ctx.get("state")) === "OPEN" && Date.parse(until) > (await ctx.date.now());
      return open ? { open, until } : { open };
    }),
    record: async (ctx, { ok }) => {
      const now = await ctx.date.now();
      const at = (ms) => new Date(ms).toISOString();
      const state = (await ctx.get("state")) ?? "CLOSED";
      if (ok) {
        const probes = ((await ctx.get("probeSuccesses")) ?? 0) + 1;
        if (state === "CLOSED" || probes >= RULES.probesNeeded) {
          for (const name of ["openedAt", "willResetAt", "probeSuccesses"]) ctx.clear(name);
          ctx.set("state", "CLOSED");
          ctx.set("failureCount", 0);
        } else {
          ctx.set("state", "HALF_OPEN");
          ctx.set("probeSuccesses", probes);
        }
        return;
      }
      const last = Date.parse((await ctx.get("lastFailure")) ?? at(0));
      const fresh = state === "CLOSED" && now - last > RULES.windowMs;
      const failures = (fresh ? 0 : ((await ctx.get("failureCount")) ?? 0)) + 1;
      ctx.set("failureCount", failures);
      ctx.set("lastFailure", at(now));
      if (state !== "CLOSED" || failures >= RULES.threshold) {
        ctx.set("state", "OPEN");
        ctx.set("openedAt", at(now));
        ctx.set("willResetAt", at(now + RULES.openMs));
        ctx.clear("probeSuccesses");
      }
    },
  },
});

const rateLimit = restate.object({
  name: "RateLimit",
  options: BRIEF,
  handlers: {
    take: async (ctx) => {
      const now = await ctx.date.now();
      let reset = Date.parse((await ctx.get("resetAt")) ?? new Date(0).toISOString());
      let used = (await ctx.get("used")) ?? 0;
      if (reset <= now) [reset, used] = [now + LIMIT.windowMs, 0];
      if (used < LIMIT.limit) used += 1;
      else return { granted: false, until: new Date(reset).toISOString() };
      ctx.set("limit", LIMIT.limit);
      ctx.set("windowMs", LIMIT.windowMs);
      ctx.set("used", used);
      ctx.set("resetAt", new Date(reset).toISOString());
      return { granted: true };
    },
  },
});

/** Asks an object through the ingress: from inside a step there is no context. */
async function ask(path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await fetch(`${ingress}/${path}`, { method: "POST", headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer.json().catch(() => undefined);
}

/** Throws when something holds a platform's side effects back. */
async function leave(platform) {
  for (const key of ["all", platform]) {
    const held = await ask(`Gate/${key}/check`);
    if (held.paused) throw new Error(`held by the gate: ${held.reason ?? "no reason given"}`);
  }
  const broken = await ask(`Circuit/${platform}/check`);
  if (broken.open) throw new Error(`circuit OPEN until ${broken.until}`);
  const turn = await ask(`RateLimit/${platform}/take`);
  if (!turn.granted) throw new Error(`429 the limit is used up until ${turn.until}`);
}

/**
 * One side effect. Leave comes first, in a `run` of its own: what is cancelled while it still asks never writes, and a journal
 * without leave proves that nothing was sent. A patient one is tried again whatever the platform says.
 */
async function guarded(ctx, name, platform, effect, { patient = false } = {}) {
  let fresh = false;
  await ctx.run(name, async () => { await leave(platform); fresh = true; });
  return ctx.run(name, async () => {
    // Leave that an earlier try was given may be long over.
    if (!fresh) await leave(platform);
    let answer;
    try {
      answer = await effect();
    } catch (error) {
      await ask(`Circuit/${platform}/record`, { ok: false });
      throw error;
    }
    const text = await answer.text();
    if (answer.ok) {
      await ask(`Circuit/${platform}/record`, { ok: true });
      return JSON.parse(text);
    }
    const words = `${answer.status} ${text.slice(0, 200)}`;
    if (answer.status >= 500) await ask(`Circuit/${platform}/record`, { ok: false });
    if (patient || answer.status >= 500 || answer.status === 429 || answer.status === 408) throw new Error(words);
    throw new restate.TerminalError(words, { errorCode: answer.status });
  });
}

function trello(method, path, params) {
  const url = new URL(`${trelloUrl}${path}`);
  for (const [name, value] of Object.entries({ ...params, key, token })) url.searchParams.set(name, value);
  return fetch(url, { method });
}
async function create(ctx, name, data) {
  const params = { idList: data.listId ?? list, name: data.name };
  const card = await guarded(ctx, name, "trello", () => trello("POST", "/cards", params));
  return { cardId: card.id };
}
/** A refused undo is tried again until it works or somebody ends it: it must not be forgotten. */
const archive = (ctx, name, card) =>
  guarded(ctx, name, "trello", () => trello("PUT", `/cards/${card}`, { closed: "true" }), { patient: true });

const actions = restate.service({
  name: "Trello",
  metadata: MARK,
  options: PATIENT,
  handlers: { create: (ctx, { data }) => create(ctx, "create", data) },
});

const workflow = restate.workflow({
  name: "Workflow",
  metadata: MARK,
  options: PATIENT,
  handlers: {
    run: async (ctx, { steps }) => {
      const [completed, undone, undos, told] = [[], [], [], {}];
      const now = async () => new Date(await ctx.date.now()).toISOString();
      // What is shown of single steps.
      const tell = (id, more) => ctx.set("steps", Object.assign(told, { [id]: { ...told[id], ...more } }));
      ctx.set("status", "executing");
      let step;
      try {
        for (step of steps) {
          if (step.requiresApproval) {
            ctx.set("approval", {
              stepId: step.id, type: step.type, platform: step.platform, data: step.data,
              requestedAt: await now(),
            });
            const { approved, by, reason } = await ctx.promise("approval");
            if (!approved) throw new restate.TerminalError(`rejected by ${by}: ${reason}`);
          }
          tell(step.id, { startedAt: await now() });
          const { cardId } = await create(ctx, step.id, step.data);
          tell(step.id, { endedAt: await now(), result: { cardId } });
          completed.push(step.id);
          ctx.set("completedSteps", completed);
          undos.unshift([step.id, cardId]);
        }
        ctx.set("status", "completed");
      } catch (error) {
        ctx.set("failedStep", step.id);
        ctx.set("error", error.message);
        ctx.set("status", "rolling_back");
        for (const [id, card] of undos) {
          await archive(ctx, `undo:${id}`, card);
          undone.push(id);
          ctx.set("rolledBackSteps", undone);
        }
        ctx.set("status", "rolled_back");
        throw error;
      }
    },
    decide: restate.handlers.workflow.shared((ctx, decision) => ctx.promise("approval").resolve(decision)),
  },
});

await restate.serve({ services: [gate, circuit, rateLimit, actions, workflow], port: Number(port) });
