// A clean-up by opsctl, while @notionhq/client edits what is planned: exactly the other pages are written to.

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@notionhq/client";
import { Suite, assert } from "./suite.mjs";

const EDITED = [0, 7, 19];

export default async function cleanup(simulators, opsctl) {
  const suite = new Suite("opsctl beside @notionhq/client", simulators);
  const { endpoints, environment } = simulators;
  const api = new Client({
    auth: environment.NOTION_API_KEY,
    baseUrl: endpoints.notion.replace(/\/v1$/, ""),
    notionVersion: "2026-03-11",
    logger: () => {},
  });
  const home = mkdtempSync(join(tmpdir(), "opsctl-cleanup-"));
  const addresses = Object.entries(endpoints).map(([name, url]) => `${name} = "${url}"`);
  const config = ['[contexts.here]', 'url = "http://127.0.0.1:9"', "[contexts.here.platforms]", ...addresses];
  writeFileSync(join(home, "config.toml"), `${config.join("\n")}\n`);
  const run = (...args) =>
    new Promise((resolve) => {
      const env = { ...environment, HOME: home, OPSCTL_CONFIG_DIR: home, OPSCTL_CONTEXT: "here" };
      execFile(opsctl, args, { env, cwd: home }, (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, stdout, stderr }));
    });
  const trashed = async () =>
    Object.keys((await suite.control("GET", "/stats")).apis.notion?.changed ?? {}).filter((what) => what.startsWith("pages.trash "));

  const { database } = await suite.control("POST", "/contents/notion", { count: 60, duplicates: 20, title: "Clean" });
  const plan = join(home, "plan");
  let items;
  await suite.try("remove-duplicates --save-plan sends no write", async () => {
    const before = await trashed();
    const saved = await run("notion", "remove-duplicates", "--database", database, "--save-plan", plan);
    assert.equal(saved.code, 0, saved.stderr);
    items = JSON.parse(readFileSync(plan, "utf8").split("\n")[1]).plan.items.map((item) => item.id);
    assert.equal(items.length, 20);
    assert.deepEqual(await trashed(), before);
  });
  await suite.try("apply leaves alone what the SDK edited, and ends with 8", async () => {
    for (const at of EDITED) {
      await api.pages.update({ page_id: items[at], properties: { Name: { title: [{ text: { content: "Mine" } }] } } });
    }
    const before = new Set(await trashed());
    const applied = await run("apply", plan, "--yes");
    assert.equal(applied.code, 8, applied.stderr);
    assert.match(applied.stdout, /17 of 20 done, 3 left alone/);
    const written = (await trashed()).filter((what) => !before.has(what)).map((what) => what.split(" ")[1]);
    assert.deepEqual(new Set(written), new Set(items.filter((_, at) => !EDITED.includes(at))));
  });
  await suite.try("undo leaves alone what the SDK took out of the trash and edited, and names it", async () => {
    const [id] = items.slice(1);
    await api.pages.update({ page_id: id, in_trash: false });
    await api.pages.update({ page_id: id, properties: { Name: { title: [{ text: { content: "Mine too" } }] } } });
    const { stdout } = await run("history", "-o", "json");
    const undone = await run("undo", JSON.parse(stdout)[0].id, "--yes");
    assert.equal(undone.code, 8, undone.stderr);
    assert.ok(undone.stderr.includes(`(${id}): somebody changed it since`), undone.stderr);
    assert.match(undone.stdout, /16 of 16 done/);
    for (const other of items.slice(2)) assert.equal((await api.pages.retrieve({ page_id: other })).in_trash, false);
  });
  rmSync(home, { recursive: true });
  return suite;
}
