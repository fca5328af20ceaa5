// @slack/web-api against the simulator of Slack.

import { ErrorCode, LogLevel, WebClient } from "@slack/web-api";
import { Suite, all, assert, refusal } from "./suite.mjs";

export default async function slack(simulators) {
  const suite = new Suite("@slack/web-api", simulators);
  const { endpoints, environment } = simulators;
  const client = (token) =>
    new WebClient(token, {
      slackApiUrl: `${endpoints.slack}/`, retryConfig: { retries: 0 }, rejectRateLimitedCalls: true, logLevel: LogLevel.ERROR,
      logger: { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, getLevel() {}, setName() {} },
    });
  const api = client(environment.SLACK_BOT_TOKEN);
  const channel = environment.SLACK_NOTIFICATIONS_CHANNEL;
  const message = async (ts, id = channel) => (await suite.contents("slack")).channels[id].messages[ts];
  const named = async (name) => {
    const { channels } = await suite.contents("slack");
    return Object.keys(channels).find((id) => channels[id].name === name);
  };
  let sent;

  await suite.try("api.test", async () => assert.equal((await client().api.test({ foo: "bar" })).args.foo, "bar"));
  await suite.try("auth.test", async () => {
    const me = await api.auth.test();
    assert.ok(me.team_id && me.bot_id && me.response_metadata.scopes.includes("chat:write"));
  });
  await suite.try("conversations.list, page by page", async () => {
    const channels = await all(async (cursor) => {
      const list = await api.conversations.list({ types: "public_channel,private_channel", limit: 4, cursor });
      return [list.channels, list.response_metadata.next_cursor];
    });
    assert.equal(new Set(channels.map((one) => one.id)).size, 11);
  });
  await suite.try("conversations.list, without archived", async () => {
    const list = await api.conversations.list({ exclude_archived: true });
    assert.ok(list.channels.every((one) => !one.is_archived && !one.is_private));
  });
  await suite.try("conversations.info", async () => {
    assert.equal((await api.conversations.info({ channel })).channel.name, "operations");
  });
  await suite.try("conversations.join", async () => {
    const id = await named("random");
    assert.equal((await api.conversations.join({ channel: id })).channel.is_member, true);
    assert.equal((await suite.contents("slack")).channels[id].member, true);
    assert.equal((await api.conversations.join({ channel: id })).warning, "already_in_channel");
  });
  await suite.try("chat.postMessage, by id and by name", async () => {
    sent = await api.chat.postMessage({
      channel, text: "Made by the SDK", blocks: [{ type: "divider" }],
      metadata: { event_type: "opsctl", event_payload: { key: "k-1" } },
    });
    assert.equal((await message(sent.ts)).text, "Made by the SDK");
    assert.equal((await api.chat.postMessage({ channel: "#operations", text: "By name" })).channel, channel);
  });
  await suite.try("chat.postMessage in a thread, conversations.replies", async () => {
    await api.chat.postMessage({ channel, thread_ts: sent.ts, text: "An answer" });
    const thread = await api.conversations.replies({ channel, ts: sent.ts });
    assert.deepEqual(thread.messages.map((one) => one.text), ["Made by the SDK", "An answer"]);
  });
  await suite.try("conversations.history, one message with its metadata", async () => {
    const { messages } = await api.conversations.history({
      channel, oldest: sent.ts, latest: sent.ts, inclusive: true, limit: 1, include_all_metadata: true,
    });
    assert.equal(messages[0].metadata.event_payload.key, "k-1");
  });
  await suite.try("conversations.history, page by page", async () => {
    const messages = await all(async (cursor) => {
      const list = await api.conversations.history({ channel, limit: 2, cursor });
      return [list.messages, list.response_metadata?.next_cursor];
    });
    assert.equal(messages.length, 5);
  });
  await suite.try("chat.update", async () => {
    await api.chat.update({ channel, ts: sent.ts, text: "Corrected" });
    const now = await message(sent.ts);
    assert.deepEqual([now.text, now.blocks], ["Corrected", undefined]);
  });
  await suite.try("chat.delete", async () => {
    await api.chat.delete({ channel, ts: sent.ts });
    assert.equal(await message(sent.ts), undefined);
  });
  await suite.try("users.lookupByEmail, users.info", async () => {
    const { user } = await api.users.lookupByEmail({ email: "ana@example.com" });
    assert.equal((await api.users.info({ user: user.id })).user.real_name, "Ana Petrova");
  });

  const refused = (call, code, promise) =>
    suite.try(call, async () => {
      const error = await refusal(promise());
      assert.deepEqual([error.code, error.data?.error], [ErrorCode.PlatformError, code], error.message);
    });
  const post = (more) => api.chat.postMessage({ channel, text: "x", ...more });
  await refused("a token that is none", "invalid_auth", () => client("xoxb-1").auth.test());
  await refused("no token", "not_authed", () => client().auth.test());
  await suite.fault("slack", "forbidden");
  await refused("an administrator forbids it", "restricted_action", () => post());
  await refused("a channel that is not there", "channel_not_found", () => post({ channel: "C0NOTTHERE" }));
  await suite.try("a channel without the bot", async () => {
    const error = await refusal(post({ channel: await named("board") }));
    assert.equal(error.data.error, "not_in_channel");
  });
  await suite.try("an archived channel", async () => {
    const error = await refusal(post({ channel: await named("project-apollo") }));
    assert.equal(error.data.error, "is_archived");
  });
  await refused("no text", "no_text", () => post({ text: "" }));
  await refused("a text that is too long", "msg_too_long", () => post({ text: "x".repeat(40_001) }));
  await refused("a message that is not there", "message_not_found", () => api.chat.update({ channel, ts: "1.000000", text: "x" }));
  await refused("a cursor that is none", "invalid_cursor", () => api.conversations.list({ cursor: "x" }));
  await refused("a method the platform does not have", "unknown_method", () => api.apiCall("chat.shout"));
  await suite.fault("slack", "rateLimited", { retryAfterSecs: 7 });
  await suite.try("429 with Retry-After", async () => {
    const error = await refusal(post());
    assert.deepEqual([error.code, error.retryAfter], [ErrorCode.RateLimitedError, 7]);
  });
  for (const status of [500, 503]) {
    await suite.fault("slack", "serverError", { status });
    await suite.try(`${status}`, async () => {
      const error = await refusal(post());
      assert.deepEqual([error.code, error.statusCode], [ErrorCode.HTTPError, status], error.message);
    });
  }
  await suite.try("oauth.v2.access and oauth.v2.exchange, token rotation", async () => {
    const app = { client_id: simulators.slackApp.clientId, client_secret: simulators.slackApp.clientSecret };
    const { value } = await suite.control("POST", "/credentials/mint", { api: "slack" });
    const first = await client().oauth.v2.exchange({ ...app, token: value });
    assert.ok(first.access_token.startsWith("xoxe.xoxb-") && first.refresh_token.startsWith("xoxe-"));
    assert.equal((await refusal(client(value).auth.test())).data.error, "token_revoked");
    const refresh = { ...app, grant_type: "refresh_token", refresh_token: first.refresh_token };
    const second = await client().oauth.v2.access(refresh);
    assert.equal(second.expires_in, 43_200);
    assert.ok((await client(second.access_token).auth.test()).expires_in > 43_000);
    assert.equal((await refusal(client().oauth.v2.access(refresh))).data.error, "invalid_refresh_token");
    const stranger = { ...refresh, client_secret: "x" };
    assert.equal((await refusal(client().oauth.v2.access(stranger))).data.error, "bad_client_secret");
  });
  await suite.try("auth.revoke", async () => {
    const { value } = await suite.control("POST", "/credentials/mint", { api: "slack" });
    assert.equal((await client(value).auth.revoke({ test: true })).revoked, false);
    assert.equal((await client(value).auth.revoke()).revoked, true);
    assert.equal((await refusal(client(value).auth.test())).data.error, "token_revoked");
  });
  suite.cannot("apps.connections.open", "opsctl opens no socket");
  return suite;
}
