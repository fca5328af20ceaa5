// The platforms' contracts as judges of answers: which operation a request was, and whether the answer fits its schema.

import { readFileSync } from "node:fs";
import Ajv from "ajv";
import addFormats from "ajv-formats";

// OpenAPI 3.0's `nullable` and boolean bounds, said in JSON Schema.
function schema(node) {
  if (Array.isArray(node)) return node.map(schema);
  if (node === null || typeof node !== "object") return node;
  const { nullable, example, examples, discriminator, xml, ...rest } = node;
  const out = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, schema(value)]));
  for (const [flag, bound] of [["exclusiveMinimum", "minimum"], ["exclusiveMaximum", "maximum"]]) {
    if (out[flag] === true) [out[flag], out[bound]] = [out[bound], undefined];
    if (out[flag] === false || out[flag] === undefined) delete out[flag];
    if (out[bound] === undefined) delete out[bound];
  }
  return nullable === true ? { anyOf: [out, { type: "null" }] } : out;
}

const escaped = (part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"));

export class Contract {
  constructor(file) {
    this.document = JSON.parse(readFileSync(file));
    this.ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
    addFormats(this.ajv);
    // The schemas alone are rewritten: a path may well be called `example`.
    const { components = {}, paths } = this.document;
    this.ajv.addSchema({ components: { schemas: schema(components.schemas ?? {}) }, paths: this.bodies(paths) }, "contract");
    this.operations = Object.entries(paths).flatMap(([path, item]) => {
      // The longest literal text wins: `files/generateIds` is not `files/{fileId}`.
      const pattern = path.replace(/[.*+?^$|()[\]\\]/g, "\\$&").replace(/\{[^}]+\}/g, "([^/]+?)");
      const literal = path.replace(/\{[^}]+\}/g, "").length;
      return Object.keys(item)
        .filter((method) => ["get", "post", "put", "patch", "delete"].includes(method))
        .map((method) => ({ path, method, literal, matches: new RegExp(`^${pattern}/?$`) }));
    }).sort((a, b) => b.literal - a.literal);
  }

  // Each answer's schema under its place in the document.
  bodies(paths) {
    const out = {};
    for (const [path, item] of Object.entries(paths)) {
      for (const [method, operation] of Object.entries(item)) {
        for (const [status, response] of Object.entries(operation.responses ?? {})) {
          const content = this.resolved(response).content ?? {};
          for (const [type, body] of Object.entries(content)) {
            ((out[path] ??= {})[method] ??= {})[status] ??= {};
            out[path][method][status][type] = schema(body.schema ?? {});
          }
        }
      }
    }
    return out;
  }

  resolved(node) {
    if (!node?.$ref) return node;
    return node.$ref.slice(2).split("/").reduce((at, name) => at[name.replaceAll("~1", "/").replaceAll("~0", "~")], this.document);
  }

  // The operation that a request is, or undefined where the contract does not have it.
  operation(method, path) {
    return this.operations.find((one) => one.method === method.toLowerCase() && one.matches.test(path));
  }

  // What is wrong with an answer; an empty list when nothing is.
  judge({ path, method }, status, type, body) {
    const responses = this.document.paths[path][method].responses;
    const key = [String(status), `${String(status)[0]}XX`, "default"].find((one) => responses[one]);
    if (!key) return [`status ${status} is not in the contract`];
    const content = this.resolved(responses[key]).content;
    if (!content) return [];
    const media = type.split(";")[0].trim().toLowerCase();
    const name = Object.keys(content).find((one) => one === media || one === "*/*");
    if (!name) return [`${status} has the type ${media}, not ${Object.keys(content).join(" or ")}`];
    const isJson = media.endsWith("json");
    let value = body;
    if (isJson) {
      try {
        value = JSON.parse(body);
      } catch (error) {
        return [`${status} is not JSON: ${error.message}`];
      }
    }
    const validate = this.ajv.getSchema(`contract#/paths/${escaped(path)}/${method}/${key}/${escaped(name)}`);
    if (!validate) return [`${status} has no schema at ${path}`];
    if (validate(value)) return [];
    return validate.errors.map((error) => `${status} ${error.instancePath || "/"} ${error.message}`);
  }
}
