// What `benches/restate.sh` measures, once everything is up: see there.
import { spawnSync } from "node:child_process";
import http from "node:http";

const env = process.env;
const [ADMIN, INGRESS, URL_OF_OURS] = [env.RESTATE_ADMIN_URL, env.RESTATE_INGRESS_URL, env.OPSCTL_URL];
const ROUNDS = Number(env.ROUNDS);
const READS = 7;
/** Items of one clear, and how many Restate takes at once. */
const MANY = 10_000, BATCH = 1000;
const OLD_MS = 5000;
const note = (words) => process.stderr.write(`${words}\n`);
const fail = (words) => { throw new Error(words); };

const kept = new http.Agent({ keepAlive: true, maxSockets: 64 });
// Restate's admin server waits for the client to confirm an answer's beginning: 40 ms on a connection that is kept.
const fresh = new http.Agent({ keepAlive: false });
function send(method, url, body, headers = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const kind = text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  const agent = url.startsWith(ADMIN) ? fresh : kept;
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent, headers: { accept: "application/json", ...kind, ...headers } }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const said = Buffer.concat(parts);
        if (answer.statusCode >= 300) reject(new Error(`${method} ${url}: HTTP ${answer.statusCode}: ${said.subarray(0, 300)}`));
        else resolve(said);
      });
    });
    // A kept connection that the other side has just closed.
    request.on("error", (error) => (request.reusedSocket && error.code === "ECONNRESET" ? resolve(send(method, url, body, headers)) : reject(error)));
    request.end(text);
  });
}
const json = async (...request) => JSON.parse(await send(...request));
const sql = async (query) => (await json("POST", `${ADMIN}/query`, { query })).rows;
const batch = (operation, ids) => send("POST", `${ADMIN}/internal/invocations_batch_operations/${operation}`, { invocation_ids: ids });
const ours = (method, path, body) => json(method, URL_OF_OURS + path, body, { authorization: `Bearer ${env.OPSCTL_TOKEN}` });
function run(program, ...words) {
  const done = spawnSync(program, words, { encoding: "utf8", env, maxBuffer: 1 << 28 });
  if (done.status !== 0) fail(`${program} ${words.join(" ")} ended with ${done.status}: ${done.stderr.slice(-2000)}`);
  return done.stdout + done.stderr;
}
async function timed(what) {
  const started = performance.now();
  const gave = await what();
  return [performance.now() - started, gave];
}
async function until(what, look) {
  for (const started = performance.now(); performance.now() - started < 300_000; ) {
    if (await look()) return;
    // Not too often: each look costs the server a part of what is waited for.
    await new Promise((go) => setTimeout(go, 1000));
  }
  fail(`does not come about: ${what}`);
}

/** Sends `count` requests over some connections. */
async function load(count, connections, path, body) {
  let next = 0;
  const client = async () => { while (next < count) await send("POST", `${INGRESS}/${path}`, body(next++)); };
  const [took] = await timed(() => Promise.all(Array.from({ length: connections }, client)));
  note(`${count} x ${path}: ${(took / 1000).toFixed(1)} s`);
}
const card = (n) => ({ data: { name: `bench ${n}` } });
const refused = (n) => ({ nothing: n });
const waiting = async (handler) =>
  (await sql(`select id from sys_invocation where target_service_name = 'Trello' and target_handler_name = '${handler}' and status = 'backing-off' order by created_at limit ${MANY}`)).map((row) => row.id);
/** Items that the gate holds, by handler; a few more than are taken out, since some are being tried just then. */
const HELD = { update: MANY, create: MANY + 1000 };
/** Sends as many as are missing, and waits until each has been tried and nearly all wait for their next try. */
async function hold() {
  for (const [handler, wanted] of Object.entries(HELD)) {
    const [{ n }] = await sql(`select count(*) as n from sys_invocation where target_service_name = 'Trello' and target_handler_name = '${handler}' and status in ('backing-off', 'running', 'ready', 'pending')`);
    if (n < wanted) await load(wanted - n, 64, `Trello/${handler}/send`, card);
  }
  const all = HELD.update + HELD.create;
  await until(`${all} items wait`, async () => {
    const [{ n }] = await sql("select count(*) as n from sys_invocation_state where retry_count > 0 and in_flight = false");
    return n >= all - 200;
  });
}

const rows = [];
const median = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];
/** A row of the table; the ratio is to `bar`, a time. */
function row(what, times, bar, more = "") {
  const ms = median(times);
  rows.push(`| ${what} | ${ms.toFixed(0)} | ${Math.min(...times).toFixed(0)} | ${bar === undefined ? "" : (ms / bar).toFixed(2)} | ${more} |`);
  note(`${what}: ${ms.toFixed(0)} ms ${more}`);
  return ms;
}

// What is there: executed, refused, meant for later, and held by the gate.
await load(500, 16, "Trello/create", card);
await load(14_500, 64, "Trello/create/send", refused);
await load(64_000, 64, "Trello/create/send?delay=2h", card);
run(env.OPSCTL, "queue", "pause", "--reason", "bench", "--yes");
await hold();
const all = await sql("select status, count(*) as n from sys_invocation where target_service_name = 'Trello' group by status");
note(JSON.stringify(all));
// The gate has to be closed for a while until what it holds is known to have no effect.
await new Promise((go) => setTimeout(go, OLD_MS + 1000));

const services = "target_service_name in ('Notion','Trello','Slack','Drive','Sheets') and target_handler_name in ('create','update','delete','notify','file','log','query')";
const waits = "status in ('scheduled','pending','ready','backing-off','suspended')";
const at = (ms) => `to_timestamp_millis(${ms})`;
const bareStatus = () => sql(`select status, count(*) as n, avg(to_unixtime(created_at)) as mean, min(created_at) as oldest from sys_invocation where ${services} and status not in ('completed','paused') group by status`);
const columns = "id, target_service_name, target_handler_name, status, created_at, modified_at, completed_at, running_at, scheduled_start_at, next_retry_at, retry_count, last_failure, completion_failure, invoked_by_target";
const due = () => `created_at < ${at(Date.now() - OLD_MS)} and (status <> 'scheduled' or scheduled_start_at < ${at(Date.now())})`;
const oldest = (columns, limit) => sql(`select ${columns} from sys_invocation where ${services} and ${waits} and ${due()} order by created_at limit ${limit}`);
const bareStuck = () => oldest(`${columns}, count(*) over () as total`, 100);
const oursStuck = () => ours("GET", `/admin/v1/queue/items?view=stuck&limit=100&olderThan=${OLD_MS}`);
const age = `${OLD_MS / 1000}s`;

const [counts, status, stuck] = [await bareStatus(), await ours("GET", "/queue"), await oursStuck()];
const [held] = await sql(`select count(*) as n from sys_invocation where ${services} and (${waits} or status = 'running') and ${due()}`);
// What is being tried at the gate just then waits for us, and runs for Restate.
const counted = counts.reduce((sum, { n }) => sum + n, 0);
if (counted !== status.totalQueued) fail(`${counted} wait, and ours says ${status.totalQueued}`);
if (held.n !== stuck.total) fail(`${held.n} are stuck, and ours says ${stuck.total}`);

const reads = {
  "bare SQL: counts and ages by status": bareStatus,
  "`GET /queue`": () => ours("GET", "/queue"),
  "`opsctl queue status`": () => run(env.OPSCTL, "queue", "status"),
  "bare SQL: the 100 oldest that are stuck, and how many": bareStuck,
  "`GET /admin/v1/queue/items?view=stuck&limit=100`": oursStuck,
  "`opsctl queue stuck`": () => run(env.OPSCTL, "queue", "stuck", "--older-than", age),
  "`restate invocations list --status backing-off --oldest-first --limit 100`": () =>
    run(env.RESTATE, "invocations", "list", "--status", "backing-off", "--oldest-first", "--limit", "100"),
};
const times = Object.fromEntries(Object.keys(reads).map((name) => [name, []]));
for (let round = 0; round <= READS; round++) {
  for (const [name, read] of Object.entries(reads)) {
    const [took] = await timed(read);
    if (round > 0) times[name].push(took);
  }
}
let bar;
for (const name of Object.keys(reads)) {
  if (name.startsWith("bare")) bar = median(times[name]);
  row(name, times[name], bar);
}

// Taking out what the gate holds.
const parts = (ids) => Array.from({ length: Math.ceil(ids.length / BATCH) }, (_, n) => ids.slice(n * BATCH, (n + 1) * BATCH));
const one = async (operation, ids) => { for (const part of parts(ids)) await batch(operation, part); };
const ended = async (ids) => {
  let n = 0;
  for (const part of parts(ids)) {
    const [found] = await sql(`select count(*) as n from sys_invocation_status where status = 'completed' and id in (${part.map((id) => `'${id}'`)})`);
    n += found.n;
  }
  return n;
};
/** As the command does it: what is taken out was listed first. */
const listed = async () => (await ours("GET", `/admin/v1/queue/items?view=stuck&limit=${MANY}&olderThan=${OLD_MS}`)).items.map((item) => item.actionId);
const cleared = async (ids) => {
  const [api, answer] = await timed(() => ours("POST", "/admin/v1/queue/clear", { stuckOnly: true, ids }));
  const applied = answer.items.filter((item) => item.effect === "applied").length;
  if (applied !== MANY || (await ended(ids)) !== MANY) fail(`${applied} of ${MANY}: ${answer.message}`);
  return api;
};
let seen;
const clears = {
  "bare: 10 batches of 1,000 cancellations, one after the other": async (ids) => {
    const [bare] = await timed(() => one("cancel", ids));
    if (seen === undefined) {
      const done = await ended(ids);
      const [more] = await timed(() => until("the bare cancellations are seen", async () => (await ended(ids)) === MANY));
      seen = [done, bare + more];
    }
    // What was only cancelled is still there; the next one finds as many as this one did.
    await one("kill", ids);
    return bare;
  },
  "`POST /admin/v1/queue/clear` with 10,000 ids just listed, all seen to have ended": async () => cleared(await listed()),
  "the same with ids that were not listed": cleared,
  "bare: SQL for the 10,000 oldest that are stuck, and their cancellations": async () => {
    const [took, ids] = await timed(async () => {
      const found = (await oldest(columns, MANY)).map((row) => row.id);
      await one("cancel", found);
      return found;
    });
    await one("kill", ids);
    return took;
  },
  "`opsctl queue clear --stuck-only`, 10,000 of them, plan and receipt included": async () => {
    const [took, said] = await timed(() => run(env.OPSCTL, "queue", "clear", "--stuck-only", "--older-than", age, "--reason", "bench", "--yes"));
    const [, out, of] = /(\d+) of (\d+) items are out of the queue/.exec(said) ?? fail(said.slice(-500));
    if (Number(out) !== Number(of) || Number(of) !== MANY) fail(`${out} of ${of}`);
    return took;
  },
};
const took = Object.fromEntries(Object.keys(clears).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, clear] of Object.entries(clears)) {
    const ids = await waiting("create");
    if (ids.length < MANY) fail(`only ${ids.length} wait`);
    took[name].push(await clear(ids));
    await hold();
    await new Promise((go) => setTimeout(go, OLD_MS + 3000));
  }
}
const [bareName] = Object.keys(clears);
const bareClear = median(took[bareName]);
let peer;
for (const [name, times] of Object.entries(took)) {
  if (name.startsWith("bare")) peer = median(times);
  row(name, times, peer);
  if (name === bareName) {
    row("the same, and SQL until all of them are seen to have ended", [seen[1]], bareClear, `${seen[0].toLocaleString("en")} had ended when the last was answered`);
  }
}
const asked = async () => (await sql("select count(*) as n from sys_invocation_status where target_handler_name = 'update' and (status = 'completed' or journal_size > journal_commands_size)"))[0].n;
for (const [what, ...more] of [["`restate invocations cancel Trello/update`, of 10,000"], ["the same with `--limit 10000`", "--limit", String(MANY)]]) {
  const before = await asked();
  const [took] = await timed(() => run(env.RESTATE, "--yes", "invocations", "cancel", ...more, "Trello/update"));
  row(what, [took], bareClear, `${((await asked()) - before).toLocaleString("en")} were cancelled`);
}

process.stdout.write(`| what | ms | fastest | x bare | |\n| --- | ---: | ---: | ---: | --- |\n${rows.join("\n")}\n`);
process.exit(0);
