// @notionhq/client against the simulator of Notion.

import { APIErrorCode, Client, isFullDatabase } from "@notionhq/client";
import { Suite, all, assert, refusal } from "./suite.mjs";

const title = (text) => ({ Name: { title: [{ text: { content: text } }] } });

export default async function notion(simulators) {
  const suite = new Suite("@notionhq/client", simulators);
  const { endpoints, environment } = simulators;
  const client = (notionVersion, auth = environment.NOTION_API_KEY) =>
    new Client({ auth, baseUrl: endpoints.notion.replace(/\/v1$/, ""), notionVersion, retry: false, logger: () => {} });
  const api = client("2026-03-11");
  const page = async (id) => (await suite.contents("notion")).pages[id];
  const made = await suite.control("POST", "/contents/notion", { count: 250, duplicates: 5, sources: 2, title: "Jobs" });
  let source, task, block;

  await suite.try("users.me", async () => assert.equal((await api.users.me({})).bot.owner.type, "workspace"));
  await suite.try("users.list, users.retrieve", async () => {
    const users = await all(async (start_cursor) => {
      const list = await api.users.list({ page_size: 2, start_cursor });
      return [list.results, list.next_cursor];
    });
    assert.equal(users.length, 4);
    assert.equal((await api.users.retrieve({ user_id: users[0].id })).person.email, users[0].person.email);
  });
  await suite.try("databases.retrieve", async () => {
    const database = await api.databases.retrieve({ database_id: environment.NOTION_DATABASE_ID });
    assert.ok(isFullDatabase(database));
    source = database.data_sources[0].id;
  });
  await suite.try("databases.retrieve, several data sources", async () => {
    const database = await api.databases.retrieve({ database_id: made.database });
    assert.deepEqual(database.data_sources.map((one) => one.id), made.dataSources);
  });
  await suite.try("dataSources.retrieve", async () => {
    const { properties } = await api.dataSources.retrieve({ data_source_id: source });
    assert.equal(properties["Due Date"].type, "date");
  });
  await suite.try("dataSources.query, page by page", async () => {
    const rows = await all(async (start_cursor) => {
      const list = await api.dataSources.query({ data_source_id: made.dataSources[0], page_size: 50, start_cursor });
      return [list.results, list.next_cursor];
    });
    assert.equal(new Set(rows.map((row) => row.id)).size, 125);
  });
  await suite.try("dataSources.query, created_time window and sort", async () => {
    const ask = (filter, direction) =>
      api.dataSources.query({
        data_source_id: made.dataSources[1],
        filter,
        sorts: [{ timestamp: "created_time", direction }],
      });
    const newest = await ask(undefined, "descending");
    const before = { timestamp: "created_time", created_time: { before: newest.results[99].created_time } };
    const older = await ask(before, "ascending");
    assert.deepEqual([newest.results.length, older.results.length], [100, 25]);
    assert.ok(older.results[0].created_time < older.results[24].created_time);
  });
  await suite.try("dataSources.query, compound filter on properties", async () => {
    const list = await api.dataSources.query({
      data_source_id: source,
      filter: {
        and: [
          { property: "Status", select: { equals: "Done" } },
          { or: [{ property: "Name", title: { contains: "invoice" } }, { property: "Notes", rich_text: { is_not_empty: true } }] },
        ],
      },
    });
    assert.ok(list.results.every((row) => row.properties.Status.select.name === "Done"));
  });
  await suite.try("pages.create, with text", async () => {
    task = await api.pages.create({
      parent: { type: "data_source_id", data_source_id: source },
      properties: { ...title("Made by the SDK"), "Due Date": { date: { start: "2026-12-01" } } },
      children: [{ paragraph: { rich_text: [{ text: { content: "First." } }] } }],
    });
    assert.equal((await page(task.id)).source, source);
  });
  await suite.try("pages.retrieve", async () => {
    const found = await api.pages.retrieve({ page_id: task.id });
    assert.equal(found.properties.Name.title[0].plain_text, "Made by the SDK");
  });
  await suite.try("pages.update, properties", async () => {
    await api.pages.update({ page_id: task.id, properties: { Status: { select: { name: "In progress" } } } });
    assert.equal((await page(task.id)).properties.Status.select.name, "In progress");
  });
  await suite.try("pages.update, trash and restore", async () => {
    for (const in_trash of [true, false]) {
      assert.equal((await api.pages.update({ page_id: task.id, in_trash })).in_trash, in_trash);
      assert.equal((await page(task.id)).in_trash, in_trash);
    }
  });
  await suite.try("blocks.children.append, blocks.children.list", async () => {
    const children = [1, 2, 3].map((n) => ({ to_do: { rich_text: [{ text: { content: `${n}` } }], checked: n === 1 } }));
    await api.blocks.children.append({ block_id: task.id, children });
    const blocks = await all(async (start_cursor) => {
      const list = await api.blocks.children.list({ block_id: task.id, page_size: 2, start_cursor });
      return [list.results, list.next_cursor];
    });
    assert.deepEqual(blocks.map((one) => one.type), ["paragraph", "to_do", "to_do", "to_do"]);
    [block] = blocks;
  });
  await suite.try("comments.create, comments.list", async () => {
    const rich_text = [{ text: { content: "Seen." } }];
    const first = await api.comments.create({ parent: { page_id: task.id }, rich_text });
    await api.comments.create({ discussion_id: first.discussion_id, rich_text });
    const list = await api.comments.list({ block_id: task.id });
    assert.deepEqual(list.results.map((one) => one.rich_text[0].plain_text), ["Seen.", "Seen."]);
  });
  await suite.try("search", async () => {
    const list = await api.search({ query: "made by the sdk", filter: { property: "object", value: "page" } });
    assert.equal(list.results[0].id, task.id);
  });
  await suite.try("older versions: 2025-09-03", async () => {
    assert.equal((await client("2025-09-03").pages.retrieve({ page_id: task.id })).archived, false);
  });
  await suite.try("older versions: 2022-06-28 and several data sources", async () => {
    const error = await refusal(
      client("2022-06-28").request({ path: `databases/${made.database}/query`, method: "post", body: {} }),
    );
    assert.equal(error.code, APIErrorCode.ValidationError);
    assert.match(error.body, /multiple_data_sources_for_database/);
  });

  const refused = async (call, status, code, promise) =>
    suite.try(call, async () => {
      const error = await refusal(promise());
      assert.deepEqual([error.status, error.code], [status, code], error.message);
      return error;
    });
  const read = () => api.pages.retrieve({ page_id: task.id });
  await refused("401, a token that is none", 401, APIErrorCode.Unauthorized, () => client("2026-03-11", "ntn_x").users.me({}));
  await suite.fault("notion", "forbidden");
  await refused("403", 403, APIErrorCode.RestrictedResource, read);
  await refused("404", 404, APIErrorCode.ObjectNotFound, () =>
    api.pages.retrieve({ page_id: "59833787-2cf9-4fdf-8782-e53db20768a5" }));
  await refused("400, an id of another shape", 400, APIErrorCode.ValidationError, () => api.pages.retrieve({ page_id: "x" }));
  await refused("400, an unknown property", 400, APIErrorCode.ValidationError, () =>
    api.pages.update({ page_id: task.id, properties: { Nmae: { title: [] } } }));
  await refused("400, a page size of 101", 400, APIErrorCode.ValidationError, () =>
    api.dataSources.query({ data_source_id: source, page_size: 101 }));
  await suite.fault("notion", "rateLimited", { retryAfterSecs: 7 });
  const limited = await suite.try("429 with Retry-After", async () => {
    const error = await refusal(read());
    assert.deepEqual([error.code, error.headers.get("retry-after")], [APIErrorCode.RateLimited, "7"]);
    assert.equal(JSON.parse(error.body).additional_data.retry_after, "7");
  });
  void limited;
  for (const [status, code] of [
    [500, APIErrorCode.InternalServerError],
    [502, "bad_gateway"],
    [503, APIErrorCode.ServiceUnavailable],
    [504, "gateway_timeout"],
    [529, "service_overload"],
  ]) {
    await suite.fault("notion", "serverError", { status });
    await suite.try(`${status}`, async () => {
      const error = await refusal(read());
      assert.equal(error.status, status);
      assert.equal(JSON.parse(error.body).code, code);
    });
  }
  await suite.fault("notion", "html");
  await suite.try("a page of the edge instead of JSON", async () => assert.equal((await refusal(read())).status, 502));
  await suite.try("the client's own retry after a 429", async () => {
    await suite.fault("notion", "rateLimited", { retryAfterSecs: 1 });
    const patient = new Client({
      auth: environment.NOTION_API_KEY, baseUrl: endpoints.notion.replace(/\/v1$/, ""), notionVersion: "2026-03-11", logger: () => {},
    });
    assert.equal((await patient.users.me({})).type, "bot");
  });
  suite.cannot("oauth.token, introspect, revoke", "the simulated connection is internal; these need a public one");
  suite.cannot("databases and data sources: create, update", "no verb of opsctl does it");
  return suite;
}
