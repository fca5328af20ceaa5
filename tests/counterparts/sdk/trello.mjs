// trello.js against the simulator of Trello. It checks answers with its own schemas.

import { createTrelloClient } from "trello.js";
import { createClient } from "trello.js/core";
import { Suite, all, assert, refusal } from "./suite.mjs";

export default async function trello(simulators) {
  const suite = new Suite("trello.js", simulators);
  const { endpoints, environment } = simulators;
  const config = { apiKey: environment.TRELLO_API_KEY, apiToken: environment.TRELLO_TOKEN, host: endpoints.trello };
  const api = createTrelloClient(config);
  const card = async (id) => (await suite.contents("trello")).cards[id];
  const board = environment.TRELLO_BOARD_ID;
  const made = await suite.control("POST", "/contents/trello", { count: 2300, duplicates: 2, title: "Jobs" });
  let task;

  await suite.try("members.getMember, getMemberBoards", async () => {
    assert.equal((await api.members.getMember({ id: "me" })).username, "opsbot");
    const boards = await api.members.getMemberBoards({ id: "me" });
    assert.ok(boards.some((one) => one.id === board));
  });
  await suite.try("tokens.getToken", async () => {
    const token = await api.tokens.getToken({ token: environment.TRELLO_TOKEN });
    assert.equal(token.dateExpires, null);
    assert.ok(token.permissions.every((one) => one.read));
  });
  await suite.try("boards.getBoard", async () => assert.equal((await api.boards.getBoard({ id: board })).name, "Operations"));
  await suite.try("boards.getBoardLists, lists.getList", async () => {
    const lists = await api.boards.getBoardLists({ id: board });
    assert.equal((await api.lists.getList({ id: lists[1].id })).name, "To do");
  });
  await suite.try("boards.getBoardLabels, getBoardMembers", async () => {
    assert.equal((await api.boards.getBoardLabels({ id: board })).length, 3);
    assert.equal((await api.boards.getBoardMembers({ id: board })).length, 3);
  });
  await suite.try("boards.getBoardCards, getBoardCardsByFilter", async () => {
    const open = await api.boards.getBoardCards({ id: board });
    const every = await api.boards.getBoardCardsByFilter({ id: board, filter: "all" });
    assert.equal(every.length, open.length + 1);
  });
  await suite.try("boards/{id}/cards, before, since, limit and fields", async () => {
    // The typed method takes no paging; the same client sends it.
    const page = (searchParams) => createClient(config).sendRequest({ url: `/boards/${made.board}/cards`, searchParams });
    const cards = await all(async (before) => {
      const some = await page({ limit: 1000, before, fields: "name" });
      return [some, some.length === 1000 && some.at(-1).id];
    });
    assert.equal(new Set(cards.map((one) => one.id)).size, 2300);
    assert.deepEqual(Object.keys(cards[0]), ["id", "name"]);
    assert.equal((await page({ since: cards[3].id, limit: 1000 })).length, 3);
  });
  await suite.try("lists.getListCards", async () => {
    assert.equal((await api.lists.getListCards({ id: made.lists[0] })).length, 1000);
  });
  await suite.try("cards.createCard", async () => {
    task = await api.cards.createCard({ idList: environment.TRELLO_TODO_LIST, name: "Made by the SDK", due: "2026-12-01T10:00:00.000Z", pos: "bottom" });
    assert.equal((await card(task.id)).name, "Made by the SDK");
  });
  await suite.try("cards.getCard", async () => assert.equal((await api.cards.getCard({ id: task.id })).shortLink, task.shortLink));
  await suite.try("cards.updateCard: name, list, due", async () => {
    await api.cards.updateCard({ id: task.id, name: "Renamed", idList: environment.TRELLO_DONE_LIST, dueComplete: true });
    const { name, list, due_complete } = await card(task.id);
    assert.deepEqual([name, list, due_complete], ["Renamed", environment.TRELLO_DONE_LIST, true]);
  });
  await suite.try("cards.updateCard: archive and restore", async () => {
    for (const closed of [true, false]) {
      assert.equal((await api.cards.updateCard({ id: task.id, closed })).closed, closed);
      assert.equal((await card(task.id)).closed, closed);
    }
  });
  await suite.try("cards.createCardComment, getCardActions", async () => {
    const comment = await api.cards.createCardComment({ id: task.id, text: "Seen." });
    const [action] = await api.cards.getCardActions({ id: task.id });
    assert.equal(action.id, comment.id);
  });
  await suite.try("labels.createLabel", async () => {
    assert.equal((await api.labels.createLabel({ name: "sdk", color: "sky", idBoard: board })).color, "sky");
  });
  await suite.try("cards.deleteCard", async () => {
    await api.cards.deleteCard({ id: task.id });
    assert.equal(await card(task.id), undefined);
  });

  const refused = (call, status, text, promise) =>
    suite.try(call, async () => {
      const error = await refusal(promise());
      const shown = `${error.status ?? error.statusCode ?? ""} ${error.message} ${JSON.stringify(error.body ?? error.data ?? error.response ?? "")}`;
      assert.ok(shown.includes(`${status}`) && shown.includes(text), shown);
    });
  const read = () => api.boards.getBoard({ id: board });
  await refused("401, a token that is none", 401, "invalid token", () =>
    createTrelloClient({ ...config, apiToken: "x" }).boards.getBoard({ id: board }));
  await refused("401, a key that is none", 401, "invalid key", () =>
    createTrelloClient({ ...config, apiKey: "x" }).boards.getBoard({ id: board }));
  await suite.fault("trello", "forbidden");
  await refused("401, no permission", 401, "permission requested", read);
  await refused("404", 404, "not found", () => api.cards.getCard({ id: "68dcf6a0ddc1b351ef961417" }));
  await refused("400, an id of another shape", 400, "invalid id", () => api.cards.getCard({ id: "x" }));
  await refused("400, a list that is none", 400, "invalid value for idList", () => api.cards.createCard({ idList: "x", name: "x" }));
  for (const status of [500, 503, 504]) {
    await suite.fault("trello", "serverError", { status });
    await refused(`${status}`, status, "", read);
  }
  await suite.fault("trello", "rateLimited", { retryAfterSecs: 10 });
  await suite.try("429, and the client's own retry", async () => assert.equal((await read()).id, board));
  await suite.try("tokens.deleteToken", async () => {
    const { value } = await suite.control("POST", "/credentials/mint", { api: "trello" });
    await api.tokens.deleteToken({ token: value });
    const error = await refusal(createTrelloClient({ ...config, apiToken: value }).boards.getBoard({ id: board }));
    assert.match(error.message + JSON.stringify(error), /invalid token|401/);
  });
  suite.cannot("429 as an error", "the client retries it four times by itself and shows none of them");
  return suite;
}
