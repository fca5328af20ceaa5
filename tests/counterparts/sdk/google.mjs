// @googleapis/drive and @googleapis/sheets, with google-auth-library under them, against the simulators of Google.

import { auth, drive as driveOf } from "@googleapis/drive";
import { sheets as sheetsOf } from "@googleapis/sheets";
import { Suite, all, assert, refusal } from "./suite.mjs";

const root = (endpoint) => `${new URL(endpoint).origin}/`;

// A person's consent: the refresh token becomes an access token when the first call needs one.
function consent({ endpoints, environment }, refresh = environment.GOOGLE_REFRESH_TOKEN) {
  const client = new auth.OAuth2({
    clientId: environment.GOOGLE_CLIENT_ID,
    clientSecret: environment.GOOGLE_CLIENT_SECRET,
    endpoints: {
      oauth2TokenUrl: endpoints.google_token,
      tokenInfoUrl: endpoints.google_tokeninfo,
      oauth2RevokeUrl: new URL("/revoke", endpoints.google_token).href,
    },
  });
  client.setCredentials({ refresh_token: refresh });
  return client;
}

const answered = (error) => [Number(error.status ?? error.code), error.response?.data?.error];

export async function library(simulators) {
  const suite = new Suite("google-auth-library", simulators);
  await suite.try("refresh token to access token", async () => {
    assert.match((await consent(simulators).getAccessToken()).token, /^ya29\./);
  });
  await suite.try("getTokenInfo", async () => {
    const client = consent(simulators);
    const info = await client.getTokenInfo((await client.getAccessToken()).token);
    assert.ok(info.scopes.some((scope) => scope.endsWith("/auth/drive")) && info.expiry_date > Date.now());
  });
  await suite.try("revokeToken", async () => {
    const client = consent(simulators);
    const { token } = await client.getAccessToken();
    await client.revokeToken(token);
    const error = await refusal(client.getTokenInfo(token));
    assert.equal(error.response.data.error, "invalid_token");
  });
  await suite.try("invalid_grant", async () => {
    const error = await refusal(consent(simulators, "1//none").getAccessToken());
    assert.equal(error.response.data.error, "invalid_grant");
  });
  suite.cannot("JWT of a service account", "the library's address for it is fixed; google-auth checks it below");
  return suite;
}

export async function drive(simulators) {
  const suite = new Suite("@googleapis/drive", simulators);
  const rootUrl = root(simulators.endpoints.drive);
  const client = (credential = consent(simulators)) =>
    driveOf({ version: "v3", auth: credential, rootUrl, retry: false, retryConfig: { retry: 0 } });
  const { files, permissions, about } = client();
  const file = async (id) => (await suite.contents("drive")).files[id];
  const shared = { supportsAllDrives: true };
  let folder, text;

  await suite.try("about.get", async () => {
    const { data } = await about.get({ fields: "user,storageQuota" });
    assert.ok(data.user.emailAddress && Number(data.storageQuota.limit) > 0);
  });
  await suite.try("files.generateIds, files.create with such an id, twice", async () => {
    const { data } = await files.generateIds({ count: 1 });
    const requestBody = { id: data.ids[0], name: "SDK", mimeType: "application/vnd.google-apps.folder" };
    folder = (await files.create({ requestBody })).data;
    assert.equal((await refusal(files.create({ requestBody }))).status, 409);
    assert.equal((await file(folder.id)).name, "SDK");
  });
  await suite.try("files.create with content", async () => {
    text = (await files.create({
      requestBody: { name: "note.txt", parents: [folder.id], appProperties: { key: "k-1" } },
      media: { mimeType: "text/plain", body: "First line.\r\nSecond." },
      fields: "id,name,size,appProperties,parents",
    }, { rootUrl })).data;
    assert.deepEqual([text.size, text.appProperties.key, text.parents[0]], ["20", "k-1", folder.id]);
  });
  await suite.try("files.get: metadata, capabilities, content", async () => {
    const { data } = await files.get({ fileId: text.id, fields: "capabilities,ownedByMe,trashed", ...shared });
    assert.equal(data.capabilities.canTrash, true);
    const content = await files.get({ fileId: text.id, alt: "media", ...shared }, { responseType: "text" });
    assert.equal(content.data, "First line.\r\nSecond.");
  });
  await suite.try("files.update: name and move", async () => {
    const { data } = await files.update({
      fileId: text.id, requestBody: { name: "renamed.txt" }, addParents: "root", removeParents: folder.id, fields: "name,parents",
    });
    assert.equal(data.name, "renamed.txt");
    assert.notEqual((await file(text.id)).parent, folder.id);
  });
  await suite.try("files.update: trash and restore", async () => {
    for (const trashed of [true, false]) {
      const { data } = await files.update({ fileId: text.id, requestBody: { trashed }, fields: "trashed", ...shared });
      assert.equal(data.trashed, trashed);
      assert.equal((await file(text.id)).trashed !== null, trashed);
    }
  });
  await suite.try("files.list: query, order, page by page", async () => {
    for (let n = 0; n < 5; n++) await files.create({ requestBody: { name: `row ${n}`, mimeType: "text/plain", parents: [folder.id] } });
    const found = await all(async (pageToken) => {
      const { data } = await files.list({
        q: `'${folder.id}' in parents and trashed = false`, orderBy: "name", pageSize: 2, pageToken,
        fields: "nextPageToken,incompleteSearch,files(id,name)", includeItemsFromAllDrives: true, ...shared,
      });
      return [data.files, data.nextPageToken];
    });
    assert.deepEqual(found.map((one) => one.name), [0, 1, 2, 3, 4].map((n) => `row ${n}`));
  });
  await suite.try("files.list: what a shared drive holds needs supportsAllDrives", async () => {
    const count = async (more) => (await files.list({ pageSize: 1000, ...more })).data.files.length;
    assert.ok((await count({ includeItemsFromAllDrives: true, ...shared })) > (await count({})));
  });
  await suite.try("permissions.create, list, delete", async () => {
    const { data } = await permissions.create({
      fileId: text.id, requestBody: { type: "user", role: "reader", emailAddress: "ana@example.com" }, ...shared,
    });
    const list = async () => (await permissions.list({ fileId: text.id, ...shared })).data.permissions.map((one) => one.role);
    assert.deepEqual(await list(), ["owner", "reader"]);
    await permissions.delete({ fileId: text.id, permissionId: data.id, ...shared });
    assert.deepEqual(await list(), ["owner"]);
  });
  await suite.try("files.delete", async () => {
    await files.delete({ fileId: text.id, ...shared });
    assert.equal(await file(text.id), undefined);
  });

  const refused = (call, status, reason, promise) =>
    suite.try(call, async () => {
      const [code, error] = answered(await refusal(promise()));
      assert.deepEqual([code, error?.errors?.[0]?.reason], [status, reason]);
    });
  const read = () => files.get({ fileId: folder.id, ...shared });
  await refused("401", 401, "authError", () => {
    const none = new auth.OAuth2();
    none.setCredentials({ access_token: "ya29.none" });
    return client(none).files.get({ fileId: folder.id });
  });
  await suite.fault("drive", "forbidden");
  await refused("403, somebody else's file", 403, "insufficientFilePermissions", read);
  await refused("404", 404, "notFound", () => files.get({ fileId: "1NotThere", ...shared }));
  await refused("400, a page size of 1001", 400, "invalid", () => files.list({ pageSize: 1001 }));
  await refused("400, a query that is none", 400, "invalid", () => files.list({ q: "name ~ x" }));
  await refused("400, about without fields", 400, "required", () => about.get({}));
  await suite.fault("drive", "rateLimited", { retryAfterSecs: 7 });
  await refused("too many requests, which Drive says with 403", 403, "userRateLimitExceeded", read);
  for (const [status, reason] of [[500, "internalError"], [503, "backendError"]]) {
    await suite.fault("drive", "serverError", { status });
    await refused(`${status}`, status, reason, read);
  }
  return suite;
}

export async function sheets(simulators) {
  const suite = new Suite("@googleapis/sheets", simulators);
  const client = (credential = consent(simulators)) =>
    sheetsOf({ version: "v4", auth: credential, rootUrl: root(simulators.endpoints.sheets), retry: false, retryConfig: { retry: 0 } });
  const { spreadsheets } = client();
  const { values } = spreadsheets;
  const spreadsheetId = simulators.environment.SHEETS_LOG_SPREADSHEET_ID;
  const rows = async (range, more) => (await values.get({ spreadsheetId, range, ...more })).data.values;
  let sheetId;

  await suite.try("spreadsheets.get: metadata", async () => {
    const { data } = await spreadsheets.get({ spreadsheetId, fields: "spreadsheetId,properties.title,sheets.properties" });
    assert.equal(data.spreadsheetId, spreadsheetId);
    assert.ok(data.sheets.length >= 1);
  });
  await suite.try("spreadsheets.batchUpdate: addSheet", async () => {
    const { data } = await spreadsheets.batchUpdate({
      spreadsheetId, requestBody: { requests: [{ addSheet: { properties: { title: "My SDK" } } }] },
    });
    ({ sheetId } = data.replies[0].addSheet.properties);
  });
  await suite.try("values.append, as typed", async () => {
    const requestBody = { values: [["name", "due", "worth"], ["a", "2026-12-01", 1], ["b", "2026-12-02", 2], ["sum", "", "=C2+C3"]] };
    const { data } = await values.append({ spreadsheetId, range: "'My SDK'!A:C", valueInputOption: "USER_ENTERED", requestBody });
    assert.equal(data.updates.updatedRows, 4);
  });
  await suite.try("values.get: formatted, unformatted, formulas, columns", async () => {
    const range = "'My SDK'!A1:C4";
    assert.deepEqual((await rows(range))[3], ["sum", "", "3"]);
    assert.equal((await rows(range, { valueRenderOption: "UNFORMATTED_VALUE" }))[1][1], 46_357);
    assert.equal((await rows(range, { valueRenderOption: "FORMULA" }))[3][2], "=C2+C3");
    assert.deepEqual((await rows(range, { majorDimension: "COLUMNS" }))[0], ["name", "a", "b", "sum"]);
  });
  await suite.try("values.update", async () => {
    const requestBody = { values: [[5]] };
    await values.update({ spreadsheetId, range: "'My SDK'!C2", valueInputOption: "RAW", requestBody });
    assert.equal((await rows("'My SDK'!C4"))[0][0], "7");
  });
  const snapshot = async (range) => {
    const fields = "sheets(data(rowData(values(userEnteredValue,userEnteredFormat,note))))";
    const { data } = await spreadsheets.get({ spreadsheetId, ranges: [range], fields });
    return data.sheets[0].data[0].rowData;
  };
  await suite.try("batchUpdate: deleteDimension, then insertDimension and updateCells bring it back", async () => {
    const before = await suite.contents("sheets");
    const row = await snapshot("'My SDK'!3:3");
    const range = { sheetId, dimension: "ROWS", startIndex: 2, endIndex: 3 };
    await spreadsheets.batchUpdate({ spreadsheetId, requestBody: { requests: [{ deleteDimension: { range } }] } });
    assert.equal((await rows("'My SDK'!A1:C4", { valueRenderOption: "FORMULA" }))[2][2], "=C2+#REF!");
    const fields = "userEnteredValue,userEnteredFormat,note";
    const formula = { values: [{ userEnteredValue: { formulaValue: "=C2+C3" } }] };
    await spreadsheets.batchUpdate({
      spreadsheetId,
      requestBody: {
        requests: [
          { insertDimension: { range } },
          { updateCells: { start: { sheetId, rowIndex: 2 }, rows: row, fields } },
          { updateCells: { start: { sheetId, rowIndex: 3, columnIndex: 2 }, rows: [formula], fields: "userEnteredValue" } },
        ],
      },
    });
    assert.deepEqual(await suite.contents("sheets"), before);
  });
  await suite.try("batchUpdate: as a whole or not at all", async () => {
    const before = await suite.contents("sheets");
    const range = (startIndex) => ({ sheetId, dimension: "ROWS", startIndex, endIndex: startIndex + 1 });
    const requests = [{ deleteDimension: { range: range(1) } }, { deleteDimension: { range: range(100_000) } }];
    const [status] = answered(await refusal(spreadsheets.batchUpdate({ spreadsheetId, requestBody: { requests } })));
    assert.equal(status, 400);
    assert.deepEqual(await suite.contents("sheets"), before);
  });
  await suite.try("values.clear", async () => {
    await values.clear({ spreadsheetId, range: "'My SDK'!A4:C4" });
    assert.equal((await rows("'My SDK'!A1:C9")).length, 3);
  });

  const refused = (call, code, status, promise) =>
    suite.try(call, async () => {
      const [found, error] = answered(await refusal(promise()));
      assert.deepEqual([found, error?.status], [code, status]);
    });
  const read = () => spreadsheets.get({ spreadsheetId });
  await refused("401", 401, "UNAUTHENTICATED", () => {
    const none = new auth.OAuth2();
    none.setCredentials({ access_token: "ya29.none" });
    return client(none).spreadsheets.get({ spreadsheetId });
  });
  await suite.fault("sheets", "forbidden");
  await refused("403", 403, "PERMISSION_DENIED", read);
  await refused("404", 404, "NOT_FOUND", () => spreadsheets.get({ spreadsheetId: "1NotThere" }));
  await refused("400, a tab that is not there", 400, "INVALID_ARGUMENT", () => values.get({ spreadsheetId, range: "No!A1" }));
  await refused("400, rows past the end", 400, "INVALID_ARGUMENT", () =>
    values.update({ spreadsheetId, range: "'My SDK'!A1:B2", valueInputOption: "RAW", requestBody: { values: [[1], [2], [3]] } }));
  await suite.fault("sheets", "rateLimited", { retryAfterSecs: 7 });
  await refused("429", 429, "RESOURCE_EXHAUSTED", read);
  for (const [status, word] of [[500, "INTERNAL"], [503, "UNAVAILABLE"], [504, "DEADLINE_EXCEEDED"]]) {
    await suite.fault("sheets", "serverError", { status });
    await refused(`${status}`, status, word, read);
  }
  return suite;
}
