/** Whether a call bears a signature of Wholly: RFC 9421 with HMAC-SHA256, over all that it says. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

const COVERED = [
  "@method", "@path", "content-digest", "wholly-transaction", "wholly-branch",
  "wholly-operation", "wholly-expires", "idempotency-key",
];
const INPUT =
  /^wholly=((\([^)]*\));created=([0-9]{1,12});keyid="([^"]*)";alg="hmac-sha256")$/;
const TOLERANCE_SECONDS = 300;

/** `keys` has the secrets by the keys' ids: two of them while one is replaced. */
export function isSigned(
  method: string, path: string, headers: IncomingHttpHeaders, body: Buffer,
  keys: Map<string, string>,
): boolean {
  const said = INPUT.exec(String(headers["signature-input"]));
  const secret = said && keys.get(said[4]);
  if (!said || secret == null || Math.abs(Date.now() / 1000 - Number(said[3])) > TOLERANCE_SECONDS) {
    return false;
  }
  const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  const values: Record<string, unknown> =
    { ...headers, "@method": method, "@path": path, "content-digest": digest };
  // All of them, in this order, and Wholly-Expires exactly where the call has it.
  const names = COVERED.filter((name) => values[name] !== undefined);
  if (said[2] !== `(${names.map((name) => `"${name}"`).join(" ")})`) return false;
  const lines = names.map((name) => `"${name}": ${values[name]}`);
  const base = [...lines, `"@signature-params": ${said[1]}`].join("\n");
  const right = `wholly=:${createHmac("sha256", secret).update(base).digest("base64")}:`;
  const given = Buffer.from(String(headers["signature"]));
  return headers["content-digest"] === digest
    && given.length === right.length && timingSafeEqual(given, Buffer.from(right));
}
