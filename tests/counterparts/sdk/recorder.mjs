// A proxy between the SDKs and a simulator: every answer that passes is judged by the platform's contract.

import http from "node:http";

export class Recorder {
  // `name` is the API, `target` its simulator, `contracts` those that describe it.
  constructor(name, target, contracts) {
    Object.assign(this, { name, target: new URL(target), contracts, judged: new Map(), outside: new Set() });
  }

  async listen() {
    this.server = http.createServer((request, response) => this.pass(request, response));
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  pass(request, response) {
    const chunks = [];
    const { hostname, port } = this.target;
    const { method, headers, url } = request;
    const onward = http.request({ hostname, port, method, path: url, headers, agent: false }, (answer) => {
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => {
        const body = Buffer.concat(chunks);
        this.judge(request, answer, body.toString());
        response.writeHead(answer.statusCode, answer.rawHeaders);
        response.end(body);
      });
    });
    onward.on("error", () => request.destroy());
    request.pipe(onward);
  }

  judge({ method, url }, { statusCode, headers }, body) {
    const { pathname, searchParams } = new URL(url, this.target);
    // The status feeds share a simulator, each behind its vendor's name.
    const path = decodeURIComponent(this.name === "status" ? pathname.replace(/^\/[^/]+/, "") : pathname);
    const found = this.contracts.map((contract) => [contract, contract.operation(method, path)]).find(([, one]) => one);
    if (!found) {
      // Ids and texts say nothing about which routes there are.
      this.outside.add(`${method} ${path.replace(/[^/]*\d[^/]*(?=\/|$)/g, (part) => (/^v?\d$/.test(part) ? part : "{}"))}`);
      return;
    }
    const [contract, operation] = found;
    const name = `${method} ${operation.path}`;
    const entry = this.judged.get(name) ?? { answers: 0, wrong: new Map(), statuses: new Set() };
    this.judged.set(name, entry);
    // Content that was asked for as it is has no schema, and neither has the page of an edge.
    const isRaw = searchParams.get("alt") === "media" || (headers["content-type"] ?? "").startsWith("text/html");
    if (isRaw) return;
    entry.answers += 1;
    entry.statuses.add(statusCode);
    for (const wrong of contract.judge(operation, statusCode, headers["content-type"] ?? "", body)) {
      entry.wrong.set(wrong, (entry.wrong.get(wrong) ?? 0) + 1);
    }
  }
}
