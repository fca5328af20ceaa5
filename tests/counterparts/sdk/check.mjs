// Official SDKs against the simulators, and what they are answered against the contracts.
// Usage: node check.mjs SIMULATORS.json CONTRACTS-FOLDER PYTHON OPSCTL

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import cleanup from "./cleanup.mjs";
import { Contract } from "./contracts.mjs";
import * as google from "./google.mjs";
import notion from "./notion.mjs";
import { feeds, pagerduty } from "./plain.mjs";
import { Recorder } from "./recorder.mjs";
import slack from "./slack.mjs";
import trello from "./trello.mjs";

const [description, folder, python, opsctl] = process.argv.slice(2);
const simulators = JSON.parse(readFileSync(description));
const contract = (file) => new Contract(`${folder}/${file}.openapi.json`);

// Answers that differ from a contract on purpose, each with its reason.
const DELIBERATE = [
  {
    operation: "GET /v4/spreadsheets/{spreadsheetId}",
    wrong: /^status 504 is not/,
    why: "the contract lists no 504, the error guide of Sheets does (DEADLINE_EXCEEDED)",
  },
];

const RECORDED = {
  notion: ["notion", contract("notion/notion")],
  trello: ["trello", contract("trello/trello")],
  slack: ["slack", contract("slack/slack")],
  drive: ["drive", contract("drive/drive.v3")],
  sheets: ["sheets", contract("sheets/sheets.v4")],
  google_token: ["google", contract("google-auth/oauth2"), contract("google-auth/iam.v1")],
  pagerduty: ["pagerduty", contract("pagerduty/events.v2")],
  status_notion: ["status", ...["statuspage.v2", "slack-status.v2", "google-status"].map((file) => contract(`status/${file}`))],
};

// Every API through its recorder; endpoints of one simulator share one.
const recorders = new Map();
for (const [endpoint, [name, ...contracts]] of Object.entries(RECORDED)) {
  const { origin } = new URL(simulators.endpoints[endpoint]);
  const recorder = new Recorder(name, origin, contracts);
  recorders.set(origin, { recorder, through: await recorder.listen() });
}
for (const [name, url] of Object.entries(simulators.endpoints)) {
  const { origin } = new URL(url);
  const { through } = recorders.get(origin) ?? {};
  if (through) simulators.endpoints[name] = url.replace(origin, through);
}

// The judges can say no: a contract that took any answer would prove nothing.
for (const { recorder } of recorders.values()) {
  for (const one of recorder.contracts) {
    const judge = ({ path, method }) => {
      const [status, response] = Object.entries(one.document.paths[path][method].responses)[0];
      const [type] = Object.keys(one.resolved(response).content ?? {});
      return type?.endsWith("json") && one.judge({ path, method }, status, type, '"text"').length > 0;
    };
    if (!one.operations.some(judge)) throw new Error(`the contract of ${recorder.name} accepts anything`);
  }
}

const suites = [];
for (const run of [notion, trello, slack, google.library, google.drive, google.sheets, pagerduty, feeds]) suites.push(await run(simulators));
suites.push(await cleanup(simulators, opsctl));

// Another process, so that the recorders go on answering meanwhile.
const script = new URL("sdks.py", import.meta.url).pathname;
const child = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"] });
child.stdin.end(JSON.stringify(simulators));
let said = "";
for await (const chunk of child.stdout) said += chunk;
const ended = child.exitCode ?? (await new Promise((resolve) => child.on("close", resolve)));
suites.push(...said.split("\n").filter(Boolean).map((line) => JSON.parse(line)));

const line = (cells, widths) => console.log(cells.map((cell, n) => `${cell}`.padEnd(widths[n])).join("  ").trimEnd());
let failures = ended === 0 ? 0 : 1;

console.log("\nOfficial SDKs against the simulators");
const wide = [34, 6, 6, 0];
line(["SDK", "TRIED", "PASSED", ""], wide);
for (const { sdk, tried } of suites) {
  const failed = tried.filter((one) => one.failure);
  failures += failed.length;
  line([sdk, tried.length, tried.length - failed.length], wide);
  for (const { call, failure } of failed) console.log(`  FAILED ${call}: ${failure}`);
}
console.log("\nCould not be tried");
for (const { sdk, untried } of suites) for (const { call, why } of untried) console.log(`  ${sdk}: ${call}: ${why}`);

console.log("\nAnswers against the contracts");
const broad = [88, 8, 5, 0];
line(["OPERATION", "ANSWERS", "WRONG", "STATUSES"], broad);
const deviations = new Set();
for (const { recorder } of recorders.values()) {
  for (const [operation, { answers, wrong, statuses }] of [...recorder.judged].sort()) {
    const left = [...wrong].filter(([text]) => {
      const meant = DELIBERATE.find((one) => one.operation === operation && one.wrong.test(text));
      if (meant) deviations.add(`${operation}: ${meant.why}`);
      return !meant;
    });
    failures += left.length;
    line([`${recorder.name} ${operation}`, answers, left.length, [...statuses].sort().join(" ")], broad);
    for (const [text, count] of left) console.log(`  WRONG ${count} times: ${text}`);
  }
}
console.log("\nDeliberate deviations");
if (deviations.size === 0) console.log("  none");
for (const text of deviations) console.log(`  ${text}`);
console.log("\nOutside the contracts' selection, so not judged");
for (const { recorder } of recorders.values()) for (const route of [...recorder.outside].sort()) console.log(`  ${recorder.name} ${route}`);

for (const { recorder } of recorders.values()) recorder.close();
const total = suites.reduce((sum, one) => sum + one.tried.length, 0);
console.log(`\n${total} checks of ${suites.length} SDKs, ${failures} failures`);
process.exitCode = failures === 0 ? 0 : 1;
