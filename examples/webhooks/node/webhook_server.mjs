// Turns a function into a webhook: HTTP, the signature, repeated and malformed requests. Node alone, no packages.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { parseArgs } from "node:util";

const OLDEST_S = 300;
const LARGEST_BYTES = 1_000_000;
const KEYS_REMEMBERED = 1000;
const UNVERIFIED =
  "WARNING: CALLBOT_WEBHOOK_SECRET is not set: nothing is verified, anybody can call this webhook.";

// `X-Callbot-Signature: t=…,v1=…`, HMAC-SHA256 of `t.body`, not older than five minutes.
function isSigned(body, header, secret) {
  const parts = /^t=([0-9]{1,12}),v1=([0-9a-f]{64})$/.exec(header);
  if (!parts || Math.abs(Date.now() / 1000 - Number(parts[1])) > OLDEST_S) return false;
  const signed = createHmac("sha256", secret).update(`${parts[1]}.`).update(body).digest();
  return timingSafeEqual(signed, Buffer.from(parts[2], "hex"));
}

// A request that comes again, with the same Idempotency-Key, gets the answer that it got before.
function once(answer) {
  const known = new Map();
  return (key, body) => {
    if (known.has(key)) return known.get(key);
    const said = answer(checked(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body))));
    if (key) known.set(key, said);
    if (known.size > KEYS_REMEMBERED) known.delete(known.keys().next().value);
    return said;
  };
}

function checked(request) {
  const isText = (e) => typeof e.role === "string" && typeof e.content === "string";
  if (typeof request.user_text !== "string" || !request.history.every(isText)) throw new TypeError("not a request");
  return request;
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LARGEST_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function replyTo(request, answer, secret) {
  if (request.url !== "/bot") return [404, { error: "the webhook is at /bot" }];
  if (request.method !== "POST") return [405, { error: "the webhook is POST /bot" }];
  const body = Number(request.headers["content-length"]) > LARGEST_BYTES ? null : await read(request);
  if (body === null) return [413, { error: "this is too large" }];
  if (secret && !isSigned(body, request.headers["x-callbot-signature"] ?? "", secret)) {
    return [401, { error: "the signature is wrong" }];
  }
  try {
    return [200, answer(request.headers["idempotency-key"] ?? "", body)];
  } catch {
    return [400, { error: "this is not a webhook request" }];
  }
}

// On 127.0.0.1 and `--port`; checks signatures when CALLBOT_WEBHOOK_SECRET is set.
export function serve(answer) {
  const { port } = parseArgs({ options: { port: { type: "string", default: "9000" } } }).values;
  const secret = process.env.CALLBOT_WEBHOOK_SECRET ?? "";
  const remembering = once(answer);
  const server = createServer(async (request, response) => {
    try {
      const [status, fields] = await replyTo(request, remembering, secret);
      const headers = { "Content-Type": "application/json" };
      if (status === 405) headers.Allow = "POST";
      if (status !== 200) headers.Connection = "close"; // Its body may not have been read.
      response.writeHead(status, headers).end(JSON.stringify(fields));
    } catch {
      response.destroy(); // The caller has gone in the middle of the request.
    }
  });
  server.on("error", (e) => {
    console.error(`Port ${port} cannot be used: ${e.code}`);
    process.exit(1);
  });
  server.listen(Number(port), "127.0.0.1", () => {
    if (!secret) console.error(UNVERIFIED);
    console.log(`webhook on http://127.0.0.1:${server.address().port}/bot`);
  });
}
